// SPDX-License-Identifier: Apache-2.0
// The transport over libcurl: TLS always verified, proxies as libcurl reads them, connections kept for later calls.
#pragma once

#include <memory>

#include "bigmodel/hub/transport.h"

namespace bigmodel {

struct CurlTransportOptions {
  std::string user_agent = "bigmodel";
  std::string ca_file;  ///< instead of the system's certificates; empty: the system's
  /// Called before each exchange with the request as a curl command, secrets masked; may be empty.
  std::function<void(const std::string&)> show_request;
};

class CurlTransport final : public HttpTransport {
 public:
  explicit CurlTransport(CurlTransportOptions options);
  ~CurlTransport() override;
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;

  HttpResponse send(const HttpRequest& request, const HttpSink& sink, std::stop_token stop) override;

 private:
  struct Pool;
  CurlTransportOptions options_;
  std::unique_ptr<Pool> pool_;
};

/// "curl -X GET -H 'authorization: <masked>' 'https://...'": values of authorization headers and of signed addresses' queries
/// never show.
std::string as_curl_command(const HttpRequest& request);

}  // namespace bigmodel
