// SPDX-License-Identifier: Apache-2.0
#include "commands/serve_estimate.h"

#include <fmt/format.h>

#include <mutex>
#include <stop_token>

#include "bigmodel/core/error.h"
#include "cli/parse.h"
#include "commands/estimate_memory.h"
#include "commands/estimate_report.h"
#include "page_server/page_server.h"

namespace bigmodel::app {
namespace {

constexpr std::size_t kMostQueryBytes = 4096;

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "serve-estimate",
      .summary = "the memory report as a page on this machine",
      .description = {"Serves the page that estimate-memory --report writes, with a field for the model and one for the device, on 127.0.0.1 and nowhere else, "
                      "until Ctrl-C. Models are found as on the command line: folders, the Hub's cache, the catalog, the Hub.",
                      "Requests whose Host is not this machine are refused, so that pages from elsewhere cannot read the answers."},
      .options = {{.name = "port",
                   .kind = ValueKind::integer,
                   .value_name = "N",
                   .help = "where to listen; 0 takes a free one",
                   .default_text = "8350"}},
      .examples = {{"bigmodel serve-estimate", "then open http://127.0.0.1:8350/"}},
      .stoppable = true};
  return kSpec;
}

/// A name that resolved to this machine through foreign DNS is no name of this machine.
bool is_local(const std::string& host) {
  const std::string name = host.substr(0, host.rfind(':'));
  return name == "127.0.0.1" || name == "localhost" || host == "[::1]";
}

PageAnswer answer(const PageRequest& request, Session& session) {
  if (!is_local(request.host)) return {403, "this page is for this machine\n"};
  ReportForm form{request.parameter("model"), request.parameter("device"), {}};
  if (form.model.empty()) return {200, report_form_page(form)};
  try {
    if (form.model.size() + form.device.size() > kMostQueryBytes || form.model.starts_with('-') || form.device.starts_with('-')) {
      throw UsageError("model: expected a folder or a name of the Hub");
    }
    std::vector<std::string> args{"estimate-memory", form.model, "--batch", "1"};
    if (!form.device.empty()) args.insert(args.end(), {"--device", form.device});
    const ParsedCall call = parse_call(args, session.commands, session.environment);
    const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(call.options, session);
    const EstimateResult result = estimate_model(form.model, *library, call.options, session);
    return {200, report_page(result, &form)};
  } catch (const Error& e) {
    form.error = e.hint().empty() ? e.message() : fmt::format("{}; {}", e.message(), e.hint());
    return {e.kind() == ErrorKind::not_found ? 404 : 400, report_form_page(form)};
  }
}

ExitStatus run(const Options& options, Session& session) {
  const std::int64_t port = options.find_integer("port").value_or(0);
  if (port > 65535) throw UsageError(fmt::format("--port: expected 0 to 65535, got {}", port));
  std::mutex one_at_a_time;  // descriptions and notes belong to one thread
  const std::unique_ptr<PageServer> server = load_page_server([&](const PageRequest& request) {
    const std::lock_guard lock(one_at_a_time);
    return answer(request, session);
  });
  const int bound = server->bind(static_cast<int>(port));
  if (bound == 0) throw IoError(fmt::format("127.0.0.1:{}: cannot listen there", port), "another --port, or 0 for a free one");
  session.out.print("http://127.0.0.1:{}/\n", bound);
  session.out.flush();
  const std::stop_callback stop(session.work.stop, [&] { server->stop(); });
  if (!session.work.stop.stop_requested()) server->listen();
  throw CancelledError("serve-estimate: stopped");
}

}  // namespace

Command serve_estimate_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
