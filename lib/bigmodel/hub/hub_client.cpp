// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/hub_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <thread>

#include "bigmodel/core/parse_number.h"
#include "bigmodel/hub/repo_id.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostRedirects = 10;
constexpr int kMostRetries = 5;
constexpr int kMostPages = 1000;
constexpr std::size_t kMostFiles = 100'000;
constexpr std::size_t kErrorBodyBytes = 64 << 10;
constexpr std::chrono::milliseconds kFirstWait{1000};
constexpr std::chrono::milliseconds kLongestWait{8000};
constexpr std::chrono::seconds kLongestAskedWait{60};
constexpr std::chrono::seconds kLongestThought{60};  // a commit of many files is answered late

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

bool is_hub_host(const std::string& url, const std::string& endpoint) {
  const std::string host = url_host(url);
  return host == "huggingface.co" || host == "hf.co" || host == "www.huggingface.co" || url_origin(url) == url_origin(endpoint);
}

/// W/"abc" and "abc" are abc. What cannot be a file's name is no etag.
std::string cleaned_etag(std::string_view text) {
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  const bool fine = !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
  return fine ? std::string(text) : std::string();
}

std::optional<std::uint64_t> number(const std::string* text) { return text == nullptr ? std::nullopt : parse_number<std::uint64_t>(*text); }

/// Collects at most `limit` bytes; the exchange ends at the limit.
struct Collector {
  std::string text;
  std::uint64_t limit;
  bool full = false;
  bool operator()(std::span<const std::byte> piece) {
    const std::size_t room = static_cast<std::size_t>(std::min<std::uint64_t>(limit - text.size(), piece.size()));
    text.append(reinterpret_cast<const char*>(piece.data()), room);
    full = room < piece.size();
    return !full;
  }
};

RepoFile tree_file(const Json& item, const HubQuestion& question) {
  const auto fail = [&](std::string_view what) -> RepoFile {
    throw FormatError(fmt::format("{}: the list of files {}", question.repo_id, what), fmt::format("is {} a Hub?", question.endpoint));
  };
  RepoFile out;
  for (const auto& [key, value] : item.items()) {
    if (key == "path" && value.is_string()) out.path = value.get<std::string>();
    if (key == "size" && value.is_number_unsigned()) out.size_bytes = value.get<std::uint64_t>();
    if (key == "oid" && value.is_string() && out.etag.empty()) out.etag = cleaned_etag(value.get<std::string>());
  }
  const auto lfs = item.find("lfs");
  if (lfs != item.end() && lfs->is_object()) {
    for (const auto& [key, value] : lfs->items()) {
      if (key == "oid" && value.is_string()) out.etag = cleaned_etag(value.get<std::string>());
      if (key == "size" && value.is_number_unsigned()) out.size_bytes = value.get<std::uint64_t>();
    }
  }
  if (repo_path_fault(out.path)) return fail("has a path that is none");
  return out;
}

}  // namespace

void sleep_until_stopped(std::chrono::milliseconds time, const std::stop_token& stop) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (stop.stop_requested()) throw CancelledError("stopped");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

std::string at_endpoint(std::string url, const std::string& endpoint) {
  constexpr std::string_view kOfficial = "https://huggingface.co/";
  if (url.starts_with(kOfficial)) url.replace(0, kOfficial.size() - 1, endpoint);
  return url;
}

std::string next_link(std::string_view header) {
  while (!header.empty()) {
    const std::size_t open = header.find('<');
    const std::size_t close = header.find('>', open);
    if (open == std::string_view::npos || close == std::string_view::npos) return {};
    const std::string_view url = header.substr(open + 1, close - open - 1);
    header.remove_prefix(close + 1);
    const std::string_view parameters = header.substr(0, header.find('<'));
    if (parameters.find("rel=\"next\"") != std::string_view::npos || parameters.find("rel=next") != std::string_view::npos) {
      return std::string(url);
    }
  }
  return {};
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  ContentRange out;
  const auto take = [&](std::uint64_t& value, char behind) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (behind == '\0') return text.empty();
    if (!text.starts_with(behind)) return false;
    text.remove_prefix(1);
    return true;
  };
  if (!take(out.first, '-') || !take(out.last, '/') || !take(out.total, '\0')) return std::nullopt;
  if (out.last < out.first || out.last >= out.total) return std::nullopt;
  return out;
}

std::string resolved_url(std::string_view base, std::string_view reference) {
  if (!url_origin(reference).empty()) return std::string(reference);
  const std::size_t scheme = base.find("://");
  if (scheme == std::string_view::npos) return {};
  if (reference.starts_with("//")) return fmt::format("{}:{}", base.substr(0, scheme), reference);
  if (!reference.starts_with('/')) return {};
  const std::size_t path = base.find_first_of("/?#", scheme + 3);
  return fmt::format("{}{}", base.substr(0, path), reference);
}

HubClient::HubClient(const HubSettings& settings, HttpTransport& transport, WorkContext work, HubClientHooks hooks)
    : settings_(settings), transport_(transport), work_(std::move(work)), hooks_(std::move(hooks)) {}

HttpRequest HubClient::request_for(const std::string& method, const std::string& url) const {
  HttpRequest out;
  out.method = method;
  out.url = url;
  out.connect_timeout = settings_.metadata_timeout;
  out.stall_timeout = method == "HEAD" ? settings_.metadata_timeout : settings_.download_timeout;
  return out;
}

HttpResponse HubClient::send(HttpRequest request, const HttpSink& sink) {
  if (settings_.offline) {
    throw NetworkError(fmt::format("{}: the network is off ({})", url_host(request.url), settings_.offline_source),
                       "allow the network, or use what is in the cache");
  }
  if (url_origin(request.url).empty()) {
    throw NetworkError(fmt::format("{}: no web address", request.url.substr(0, 200)), "check HF_ENDPOINT");
  }
  const bool at_home = url_origin(request.url) == url_origin(settings_.endpoint);
  request.allow_plain_http = is_loopback_address(request.url) || (at_home && settings_.endpoint.starts_with("http://"));
  if (at_home && !settings_.token.empty()) request.headers.push_back({"authorization", "Bearer " + settings_.token});
  HttpResponse response = transport_.send(request, sink, work_.stop);
  answered_ = true;
  show_notices(response);
  return response;
}

void HubClient::show_notices(const HttpResponse& response) {
  if (!hooks_.notice) return;
  for (const HttpHeader& header : response.headers) {
    if (header.name != "x-hf-warning") continue;
    const std::size_t end = header.value.find(';');
    const std::string topic = end == std::string::npos ? "" : header.value.substr(0, end);
    std::string text = end == std::string::npos ? header.value : header.value.substr(end + 1);
    std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    text.erase(0, text.find_first_not_of(' '));
    const std::scoped_lock lock(notices_mutex_);
    if (std::ranges::find(seen_topics_, topic) != seen_topics_.end() || seen_topics_.size() > 20) continue;
    seen_topics_.push_back(topic);
    hooks_.notice(text.substr(0, 500));
  }
}

void HubClient::pause(int failures, std::optional<std::chrono::seconds> asked) {
  const std::chrono::milliseconds wait = std::min(kFirstWait * (1 << std::clamp(failures - 1, 0, 6)), kLongestWait);
  const double jitter = 0.5 + hooks_.random() / 2;
  const auto jittered = std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) * jitter));
  hooks_.sleep(asked ? std::chrono::milliseconds(std::min(*asked, kLongestAskedWait)) : jittered);
}

void HubClient::with_retries(const std::function<void(std::optional<std::chrono::seconds>&)>& attempt) {
  for (int retry = 0;; ++retry) {
    work_.throw_if_stopped();
    std::optional<std::chrono::seconds> asked;
    try {
      attempt(asked);
      return;
    } catch (const TransportError& e) {
      if (!e.worth_retrying() || retry == kMostRetries || (!answered_ && retry > 0)) throw;
    } catch (const BusyServerError&) {
      // A wait that nobody sits through is said instead.
      if (retry == kMostRetries || (asked && *asked > kLongestAskedWait)) throw;
    }
    pause(retry + 1, asked);
  }
}

std::string HubClient::redirect_target(const HttpResponse& response) const {
  if (!is_redirect(response.status)) return {};
  const std::string* location = response.header("location");
  return location == nullptr ? std::string() : resolved_url(response.url, *location);
}

HttpResponse HubClient::head_within_hub(std::string url) {
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    HttpRequest request = request_for("HEAD", url);
    request.headers.push_back({"accept-encoding", "identity"});  // else the size is that of a compressed body
    HttpResponse response = send(std::move(request), {});
    const std::string target = redirect_target(response);
    // The answer that names the linked file has everything; its target is a signed address for the bytes.
    if (target.empty() || response.header("x-linked-etag") != nullptr || !is_hub_host(target, settings_.endpoint)) return response;
    url = target;
  }
  throw NetworkError(fmt::format("{}: more than {} redirects", url_host(url), kMostRedirects), "check HF_ENDPOINT");
}

std::string HubClient::resolve_address(const std::string& repo_id, const std::string& revision, const std::string& path) const {
  return fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, repo_id, percent_encoded(revision, false),
                     percent_encoded(path, true));
}

HubQuestion HubClient::question(const std::string& repo_id, const std::string& revision, const std::string& path) const {
  return {repo_id, revision, path, settings_.endpoint, settings_.token_source};
}

FileMetadata HubClient::file_metadata(const std::string& repo_id, const std::string& revision, const std::string& path) {
  const std::string url = resolve_address(repo_id, revision, path);
  const HubQuestion asked_for = question(repo_id, revision, path);
  HttpResponse response;
  with_retries([&](std::optional<std::chrono::seconds>& asked) {
    response = head_within_hub(url);
    asked = asked_wait(response);
    if (response.status / 100 != 2 && !is_redirect(response.status)) throw_hub_error(response, {}, asked_for);
  });
  FileMetadata out;
  const auto missing = [&](std::string_view header) {
    return NetworkError(fmt::format("{}: the answer has no usable {}", url, header),
                        "a proxy or mirror that drops headers is between here and the Hub");
  };
  if (const std::string* commit = response.header("x-repo-commit")) out.commit = *commit;
  if (!is_commit_hash(out.commit)) throw missing("X-Repo-Commit");
  const std::string* etag = response.header("x-linked-etag");
  if (etag == nullptr) etag = response.header("etag");
  if (etag != nullptr) out.etag = cleaned_etag(*etag);
  if (out.etag.empty()) throw missing("ETag");
  auto size = number(response.header("x-linked-size"));
  if (!size && !is_redirect(response.status)) size = number(response.header("content-length"));
  if (!size) throw missing("Content-Length or X-Linked-Size");
  out.size_bytes = *size;
  const std::string target = redirect_target(response);
  out.location = target.empty() ? response.url : target;
  return out;
}

HttpResponse HubClient::get(const std::string& url, std::vector<HttpHeader> extra, const HttpSink& sink) {
  std::string at = url;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    HttpRequest request = request_for("GET", at);
    request.headers = extra;
    request.headers.push_back({"accept-encoding", "identity"});
    HttpResponse response = send(std::move(request), [&](const HttpResponse& head, std::span<const std::byte> piece) {
      return is_redirect(head.status) || sink(head, piece);
    });
    std::string target = redirect_target(response);
    if (target.empty()) return response;
    if (at.starts_with("https://") && !target.starts_with("https://")) {
      throw NetworkError(fmt::format("{}: redirects to an unencrypted address", url_host(at)), "check HF_ENDPOINT");
    }
    at = std::move(target);
  }
  throw NetworkError(fmt::format("{}: more than {} redirects", url_host(url), kMostRedirects), "check HF_ENDPOINT");
}

std::string HubClient::read_range(const std::string& repo_id, const std::string& revision, const std::string& path,
                                  std::uint64_t first, std::uint64_t size, std::uint64_t* file_bytes) {
  const std::string url = resolve_address(repo_id, revision, path);
  const HubQuestion asked_for = question(repo_id, revision, path);
  std::string out;
  if (size == 0) return out;
  with_retries([&](std::optional<std::chrono::seconds>& asked) {
    Collector body{{}, size};
    Collector error{{}, kErrorBodyBytes};
    std::uint64_t skip = 0;
    bool begun = false;
    const HttpResponse response =
        get(url, {{"range", fmt::format("bytes={}-{}", first, first + size - 1)}},
            [&](const HttpResponse& head, std::span<const std::byte> piece) {
              if (head.status / 100 != 2) return error(piece);
              if (!begun) skip = head.status == 206 ? 0 : first;  // the whole file comes: its beginning is passed over
              begun = true;
              const std::size_t passed = static_cast<std::size_t>(std::min<std::uint64_t>(skip, piece.size()));
              skip -= passed;
              return body(piece.subspan(passed)) && body.text.size() < size;
            });
    asked = asked_wait(response);
    if (response.status / 100 != 2) throw_hub_error(response, error.text, asked_for);
    const std::string* range_text = response.header("content-range");
    const auto range = range_text == nullptr ? std::nullopt : parse_content_range(*range_text);
    if (response.status == 206 && (!range || range->first != first)) {
      throw TransportError(fmt::format("{}: the server answered with another range than was asked for", url), "try again", true);
    }
    const auto total = range ? std::optional(range->total) : number(response.header("content-length"));
    const std::uint64_t expected = total ? std::min(size, *total - std::min(*total, first)) : size;
    if (body.text.size() < expected) {
      throw TransportError(fmt::format("{}: the answer ends early, expected {} bytes, got {}", url, expected, body.text.size()),
                           "try again", true);
    }
    if (file_bytes != nullptr) {
      if (!total) throw NetworkError(fmt::format("{}: the server does not say how long the file is", url));
      *file_bytes = *total;
    }
    out = std::move(body.text);
  });
  return out;
}

std::string HubClient::call_api(const std::string& method, const std::string& path, const std::string& body,
                                const HubQuestion& asked_for, std::string_view content_type, HttpResponse* answer,
                                std::uint64_t limit_bytes) {
  std::string out;
  with_retries([&](std::optional<std::chrono::seconds>& asked) {
    std::string url = path.starts_with('/') ? settings_.endpoint + path : path;
    for (int hop = 0;; ++hop) {
      HttpRequest request = request_for(method, url);
      request.body = body;
      if (method == "POST") request.stall_timeout = std::max(request.stall_timeout, kLongestThought);
      if (!body.empty()) request.headers.push_back({"content-type", std::string(content_type)});
      if (content_type.find("git-lfs") != std::string_view::npos) request.headers.push_back({"accept", std::string(content_type)});
      Collector collected{{}, limit_bytes};
      HttpResponse response =
          send(std::move(request), [&](const HttpResponse&, std::span<const std::byte> piece) { return collected(piece); });
      asked = asked_wait(response);
      const std::string target = redirect_target(response);
      if (!target.empty() && hop < kMostRedirects && is_hub_host(target, settings_.endpoint)) {  // a renamed repository
        url = target;
        continue;
      }
      if (response.status / 100 != 2) throw_hub_error(response, collected.text, asked_for);
      if (collected.full) {
        throw FormatError(fmt::format("{}: the answer is longer than {} bytes", asked_for.repo_id, limit_bytes));
      }
      out = std::move(collected.text);
      if (answer != nullptr) *answer = std::move(response);
      return;
    }
  });
  return out;
}

std::string HubClient::resolve_commit(const std::string& repo_id, const std::string& revision) {
  if (is_commit_hash(revision)) return revision;
  const HubQuestion asked_for = question(repo_id, revision, {});
  const std::string body = call_api(
      "GET", fmt::format("/api/models/{}/revision/{}?expand=sha", repo_id, percent_encoded(revision, false)), {}, asked_for);
  const Json json = parse_json(body, fmt::format("answer about {}", repo_id));
  const auto sha = json.is_object() ? json.find("sha") : json.end();
  if (!json.is_object() || sha == json.end() || !sha->is_string() || !is_commit_hash(sha->get<std::string>())) {
    throw FormatError(fmt::format("{}: the answer names no commit", repo_id), fmt::format("is {} a Hub?", settings_.endpoint));
  }
  return sha->get<std::string>();
}

std::vector<RepoFile> HubClient::list_files(const std::string& repo_id, const std::string& commit) {
  const HubQuestion asked_for = question(repo_id, commit, {});
  std::vector<RepoFile> out;
  std::string path = fmt::format("/api/models/{}/tree/{}?recursive=true&expand=false", repo_id, percent_encoded(commit, false));
  for (int page = 0; page < kMostPages && !path.empty(); ++page) {
    HttpResponse answer;
    const std::string body = call_api("GET", path, {}, asked_for, {}, &answer);
    const Json json = parse_json(body, fmt::format("list of files of {}", repo_id));
    if (!json.is_array()) throw FormatError(fmt::format("{}: the list of files is none", repo_id));
    for (const Json& item : json) {
      const auto type = item.is_object() ? item.find("type") : item.end();
      if (!item.is_object() || (type != item.end() && type->is_string() && type->get<std::string>() != "file")) continue;
      out.push_back(tree_file(item, asked_for));
      if (out.size() > kMostFiles) throw UnsupportedError(fmt::format("{}: more than {} files", repo_id, kMostFiles));
    }
    const std::string* link = answer.header("link");
    path = link == nullptr ? "" : at_endpoint(next_link(*link), settings_.endpoint);
    if (!path.empty() && !path.starts_with('/') && url_origin(path) != url_origin(settings_.endpoint)) {
      throw NetworkError(fmt::format("{}: the list of files goes on at another host", repo_id), "check HF_ENDPOINT");
    }
  }
  std::ranges::sort(out, {}, &RepoFile::path);
  return out;
}

}  // namespace bigmodel
