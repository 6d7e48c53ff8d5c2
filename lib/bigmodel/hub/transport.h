// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange as an interface, so that tests can stand in for the network. Redirects are the client's business.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/error.h"

namespace bigmodel {

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method = "GET";  ///< GET, HEAD, POST, PUT
  std::string url;
  std::vector<HttpHeader> headers;
  std::string body;  ///< of POST and PUT
  /// Instead of `body`: fills the span and returns how much, 0 at the end. May throw.
  std::function<std::size_t(std::span<char>)> read_body;
  std::uint64_t read_body_bytes = 0;
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds stall_timeout{10};  ///< no byte in either direction for so long ends the exchange
  bool allow_plain_http = false;           ///< else https only
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;  ///< names in lower case, in order of arrival
  std::string url;                  ///< that was asked
  bool stopped_by_sink = false;

  /// The last header of the name (lower case); nullptr where there is none.
  const std::string* header(std::string_view name) const;
};

/// Receives the body piece by piece; `response` has status and headers by then. False ends the exchange without an error.
/// May throw: the exchange ends and the exception comes out of send().
using HttpSink = std::function<bool(const HttpResponse& response, std::span<const std::byte> piece)>;

/// No answer, or a broken one.
class TransportError : public NetworkError {
 public:
  TransportError(std::string message, std::string hint, bool worth_retrying)
      : NetworkError(std::move(message), std::move(hint)), worth_retrying_(worth_retrying) {}
  bool worth_retrying() const noexcept { return worth_retrying_; }

 private:
  bool worth_retrying_;
};

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  /// Thread-safe. Blocks. Throws TransportError, CancelledError soon after `stop` is requested, and what the sink throws.
  virtual HttpResponse send(const HttpRequest& request, const HttpSink& sink, std::stop_token stop) = 0;
};

/// "127.0.0.1", "localhost" or "::1" as the host of an address.
bool is_loopback_address(std::string_view url);

/// Scheme, host and port of an absolute address in lower case with the port written out: "https://hf.co:443"; empty where
/// the text is none.
std::string url_origin(std::string_view url);
/// The host alone, lower case.
std::string url_host(std::string_view url);

}  // namespace bigmodel
