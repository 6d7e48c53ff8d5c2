// SPDX-License-Identifier: Apache-2.0
// The module: the page over cpp-httplib.
#include "page_server/page_server.h"

#include <httplib.h>

#include <algorithm>

namespace bigmodel::app {
namespace {

class HttplibServer final : public PageServer {
 public:
  explicit HttplibServer(PageHandler handler) {
    server_.set_payload_max_length(0);
    server_.Get("/", [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
      const PageAnswer answer = handler({request.get_header_value("Host"), [&](const std::string& name) { return request.get_param_value(name); }});
      response.status = answer.status;
      response.set_header("Cache-Control", "no-store");
      response.set_header("X-Content-Type-Options", "nosniff");
      response.set_content(answer.page, answer.status == 403 ? "text/plain" : "text/html; charset=utf-8");
    });
  }

  int bind(int port) override {
    if (port == 0) return std::max(server_.bind_to_any_port("127.0.0.1"), 0);
    return server_.bind_to_port("127.0.0.1", port) ? port : 0;
  }
  void listen() override { server_.listen_after_bind(); }
  void stop() override { server_.stop(); }

 private:
  httplib::Server server_;
};

}  // namespace
}  // namespace bigmodel::app

extern "C" bigmodel::app::PageServer* bigmodel_make_page_server(bigmodel::app::PageHandler handler) {
  return new bigmodel::app::HttplibServer(std::move(handler));
}
