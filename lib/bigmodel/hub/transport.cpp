// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/transport.h"

#include <fmt/format.h>

#include <algorithm>

namespace bigmodel {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

struct Authority {
  std::string scheme, host, port;
};

/// Nothing but scheme://host[:port]; a user part counts as no valid address (it hides the real host from people).
std::optional<Authority> authority(std::string_view url) {
  Authority out;
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  out.scheme = lower(url.substr(0, colon));
  if (out.scheme != "http" && out.scheme != "https") return std::nullopt;
  std::string_view rest = url.substr(colon + 3);
  rest = rest.substr(0, rest.find_first_of("/?#\\"));
  if (rest.empty() || rest.find('@') != std::string_view::npos) return std::nullopt;
  std::size_t port = rest.rfind(':');
  if (rest.front() == '[') {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    port = close + 1 < rest.size() ? close + 1 : std::string_view::npos;
  }
  out.host = lower(rest.substr(0, port));
  out.port = port == std::string_view::npos ? "" : std::string(rest.substr(port + 1));
  if (out.port.empty()) out.port = out.scheme == "https" ? "443" : "80";
  if (out.host.empty() || out.port.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return out;
}

}  // namespace

const std::string* HttpResponse::header(std::string_view name) const {
  const auto last = std::find_if(headers.rbegin(), headers.rend(), [&](const HttpHeader& header) { return header.name == name; });
  return last == headers.rend() ? nullptr : &last->value;
}

std::string url_origin(std::string_view url) {
  const std::optional<Authority> parts = authority(url);
  return parts ? fmt::format("{}://{}:{}", parts->scheme, parts->host, parts->port) : std::string();
}

std::string url_host(std::string_view url) {
  const std::optional<Authority> parts = authority(url);
  return parts ? parts->host : std::string();
}

bool is_loopback_address(std::string_view url) {
  const std::string host = url_host(url);
  return host == "127.0.0.1" || host == "localhost" || host == "[::1]";
}

}  // namespace bigmodel
