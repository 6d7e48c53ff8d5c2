// SPDX-License-Identifier: Apache-2.0
// One page over HTTP on loopback, as an interface: what answers it is a module of its own, loaded when a page is served.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace bigmodel::app {

struct PageRequest {
  std::string host;                                             ///< the Host header
  std::function<std::string(const std::string&)> parameter;     ///< of the query, decoded; empty where there is none
};

struct PageAnswer {
  int status = 200;
  std::string page;  ///< HTML; plain text where the status is 403
};

/// Called from several threads.
using PageHandler = std::function<PageAnswer(const PageRequest&)>;

/// Serves "/" of 127.0.0.1 and nothing else.
class PageServer {
 public:
  virtual ~PageServer() = default;
  /// 0 takes a free port. The port; 0 where it cannot be had.
  virtual int bind(int port) = 0;
  /// Blocks until stop(), which any thread may call.
  virtual void listen() = 0;
  virtual void stop() = 0;
};

/// Throws IoError where the module is not where it is installed.
std::unique_ptr<PageServer> load_page_server(PageHandler handler);

}  // namespace bigmodel::app
