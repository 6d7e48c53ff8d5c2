// SPDX-License-Identifier: Apache-2.0
// The program with commands that fail on demand: what no real command can be made to do in a test (a driver that fails,
// a bug of ours, a long run that is interrupted) goes through the same run_program.
#include <chrono>
#include <new>
#include <stdexcept>
#include <thread>

#include "bigmodel/core/error.h"
#include "program.h"

namespace {

using namespace bigmodel;
using namespace bigmodel::app;

const CommandSpec& fail_spec() {
  static const CommandSpec kSpec{
      .name = "fail",
      .summary = "fail in the way that KIND names",
      .positionals = {{.name = "KIND", .kind = ValueKind::text, .value_name = "KIND", .help = "how", .required = true}}};
  return kSpec;
}

ExitStatus fail(const Options& options, Session& session) {
  const std::string kind = options.text("KIND");
  if (kind == "answered_no") return ExitStatus::answered_no;
  if (kind == "out_of_memory") throw std::bad_alloc();
  if (kind == "assertion") BIGMODEL_ASSERT(kind.empty());
  if (kind == "foreign") throw std::runtime_error("not one of ours");
  if (kind == "unprintable") throw 42;
  for (const ErrorKind known :
       {ErrorKind::usage, ErrorKind::not_found, ErrorKind::authorisation, ErrorKind::network, ErrorKind::format,
        ErrorKind::unsupported, ErrorKind::capacity, ErrorKind::device, ErrorKind::io, ErrorKind::cancelled}) {
    if (kind == to_string(known)) throw Error(known, "thing: is wrong, expected a, got b", "do c");
  }
  session.out.line("done");
  return ExitStatus::done;
}

const CommandSpec& wait_spec() {
  static const CommandSpec kSpec{.name = "wait", .summary = "work until told to stop", .stoppable = true};
  return kSpec;
}

ExitStatus wait(const Options&, Session& session) {
  session.notes.note("started");
  for (int i = 0; i < 3000; ++i) {
    session.work.throw_if_stopped();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return ExitStatus::done;
}

const CommandSpec& progress_spec() {
  static const CommandSpec kSpec{.name = "progress", .summary = "report progress for a while"};
  return kSpec;
}

ExitStatus progress(const Options&, Session& session) {
  for (std::uint64_t i = 0; i <= 80; ++i) {
    session.work.report("copying", i * 1000000, 80000000);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  session.out.line("result");
  return ExitStatus::done;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const Command commands[] = {{&fail_spec, &fail}, {&wait_spec, &wait}, {&progress_spec, &progress}};
  return run_program(args, commands, process_environment());
}
