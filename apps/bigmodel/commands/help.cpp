// SPDX-License-Identifier: Apache-2.0
#include "commands/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "cli/help.h"

namespace bigmodel::app {
namespace {

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "help",
      .summary = "explain a command or a topic",
      .description = {"Without an argument, lists the commands. Topics: exit-codes, environment, config, sizes."},
      .positionals = {{.name = "TOPIC",
                       .kind = ValueKind::text,
                       .value_name = "TOPIC",
                       .help = "a command, or exit-codes, environment, config, sizes"}},
      .examples = {{"bigmodel help estimate-memory", "the page of one command"},
                   {"bigmodel help exit-codes", "what the exit code says"}}};
  return kSpec;
}

ExitStatus run(const Options& options, Session& session) {
  const std::optional<std::string> given = options.find_text("TOPIC");
  if (!given) {
    session.out.write(program_help(session.commands, session.out.terminal()));
    return ExitStatus::done;
  }
  std::string topic = *given;
  std::ranges::replace(topic, '_', '-');
  std::vector<std::string> known;
  for (const CommandSpec* command : session.commands) {
    if (command->hidden) continue;
    if (command->name == topic) {
      session.out.write(command_help(*command, session.out.terminal()));
      return ExitStatus::done;
    }
    known.emplace_back(command->name);
  }
  for (const HelpTopic& row : help_topics()) {
    if (row.name == topic) {
      session.out.write(topic_help(row.name, session.commands, session.out.terminal()));
      return ExitStatus::done;
    }
    known.emplace_back(row.name);
  }
  std::string hint = did_you_mean(topic, known);
  throw UsageError(fmt::format("help: no such command or topic, got '{}'", *given),
                   hint.empty() ? "`bigmodel help` lists the commands" : std::move(hint));
}

}  // namespace

Command help_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
