// SPDX-License-Identifier: Apache-2.0
#include "program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <optional>
#include <system_error>

#include "bigmodel/spec/source.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "exit_status.h"
#include "render/notes.h"
#include "render/output.h"
#include "render/progress.h"
#include "signals.h"
#include "version.h"

namespace bigmodel::app {
namespace {

std::vector<const CommandSpec*> specs_of(std::span<const Command> commands) {
  std::vector<const CommandSpec*> out;
  for (const Command& command : commands) out.push_back(&command.spec());
  return out;
}

ExitStatus dispatch(const ParsedCall& call, std::span<const Command> commands,
                    std::span<const CommandSpec* const> specs, Session& session) {
  if (call.options.flag("version")) {
    print_version(session.out, call.options.flag("verbose"));
    return ExitStatus::done;
  }
  if (call.command == nullptr) {
    session.out.write(call.options.flag("help") ? program_help(specs, session.out.terminal())
                                                : short_help(specs, session.out.terminal()));
    return ExitStatus::done;
  }
  if (call.options.flag("help")) {
    session.out.write(command_help(*call.command, session.out.terminal()));
    return ExitStatus::done;
  }
  for (const Command& command : commands) {
    if (&command.spec() == call.command) return command.run(call.options, session);
  }
  return ExitStatus::internal;
}

ExitStatus run_call(const ParsedCall& call, std::span<const Command> commands,
                    std::span<const CommandSpec* const> specs, Notes& notes, const EnvironmentLookup& environment,
                    std::stop_token stop) {
  Output out(STDOUT_FILENO, "standard output",
             inspect_terminal(STDOUT_FILENO, call.options.text("color"), environment));
  Progress progress(notes);
  Session session{out, notes, progress, {progress.callback(), std::move(stop)}, environment, specs};
  const ExitStatus status = dispatch(call, commands, specs, session);
  progress.clear();
  out.flush();
  return status;
}

}  // namespace

int run_program(std::span<const std::string> args, std::span<const Command> commands,
                const EnvironmentLookup& environment) {
  ignore_write_signals();
  occupy_standard_input();
  bool json = false;
  std::string_view color = "auto";
  std::optional<SignalWatch> signals;
  const auto failed = [&](ExitStatus status, std::string_view kind, std::string_view message, std::string_view hint) {
    const Terminal terminal = inspect_terminal(STDERR_FILENO, color, environment);
    Notes(STDERR_FILENO, terminal, false, false).raw(error_line(status, kind, message, hint, json, terminal));
    return static_cast<int>(status);
  };
  try {
    json = asks_for_json(args, environment);
    const std::vector<const CommandSpec*> specs = specs_of(commands);
    const ParsedCall call = parse_call(args, specs, environment);
    const std::string wanted_color = call.options.text("color");
    color = wanted_color == "always" ? "always" : wanted_color == "never" ? "never" : "auto";
    json = json || call.options.flag("json");
    Notes notes(STDERR_FILENO, inspect_terminal(STDERR_FILENO, color, environment), call.options.flag("quiet"),
                call.options.flag("verbose"));
    if (call.command != nullptr && call.command->stoppable) signals.emplace();
    return static_cast<int>(
        run_call(call, commands, specs, notes, environment, signals ? signals->token() : std::stop_token{}));
  } catch (const ClosedPipe&) {
    return static_cast<int>(ExitStatus::done);
  } catch (const CancelledError& e) {
    if (signals && signals->received() != 0) die_by_signal(signals->received());
    return failed(ExitStatus::interrupted, to_string(e.kind()), e.message(), e.hint());
  } catch (const spec::SpecError& e) {
    const int code = failed(exit_status(e.kind()), to_string(e.kind()), e.message(), e.hint());
    // The line and a caret below it, for people who write descriptions.
    if (!json && !e.excerpt().empty()) Notes(STDERR_FILENO, inspect_terminal(STDERR_FILENO, color, environment), false, false).raw(e.excerpt() + "\n");
    return code;
  } catch (const Error& e) {
    return failed(exit_status(e.kind()), to_string(e.kind()), e.message(), e.hint());
  } catch (const std::bad_alloc&) {
    return failed(ExitStatus::does_not_fit, "capacity", "out of memory", {});
  } catch (const std::system_error& e) {
    // Only threads throw it: their stacks count as memory, and their number may be limited.
    if (e.code() != std::errc::resource_unavailable_try_again) return failed(ExitStatus::internal, "internal", e.what(), "this is a bug of bigmodel, please report it");
    return failed(ExitStatus::does_not_fit, "capacity", "no thread could be started within the limits of this process", "fewer --threads, or a wider limit (ulimit -a)");
  } catch (const std::exception& e) {
    return failed(ExitStatus::internal, "internal", e.what(), "this is a bug of bigmodel, please report it");
  } catch (...) {
    return failed(ExitStatus::internal, "internal", "unknown exception", "this is a bug of bigmodel, please report it");
  }
}

EnvironmentLookup process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

}  // namespace bigmodel::app
