// SPDX-License-Identifier: Apache-2.0
#include "commands/generate.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>

#include "bigmodel/core/error.h"
#include "bigmodel/io/atomic_file.h"
#include "cli/completions.h"
#include "cli/man_page.h"

namespace bigmodel::app {
namespace {

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "generate",
      .summary = "print a completion script or a man page",
      .description = {"The files under completions/ and man/ are made by `bigmodel generate all --output FOLDER`."},
      .positionals = {{.name = "KIND",
                       .kind = ValueKind::choice,
                       .value_name = "KIND",
                       .help = "what to print",
                       .choices = {"complete-bash", "complete-zsh", "complete-fish", "man", "all"},
                       .required = true},
                      {.name = "COMMAND",
                       .kind = ValueKind::text,
                       .value_name = "COMMAND",
                       .help = "the command whose man page is meant; without it, bigmodel's own"}},
      .options = {{.name = "output",
                   .letter = 'o',
                   .kind = ValueKind::path,
                   .value_name = "FOLDER",
                   .help = "with all: write completions/ and man/ below FOLDER",
                   .settable = false}},
      .hidden = true};
  return kSpec;
}

const CommandSpec& visible_command(std::string_view name, std::span<const CommandSpec* const> commands) {
  for (const CommandSpec* command : commands) {
    if (!command->hidden && command->name == name) return *command;
  }
  throw UsageError(fmt::format("generate: no such command, got '{}'", name));
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void write_all(const std::filesystem::path& folder, std::span<const CommandSpec* const> commands) {
  write_file(folder / "completions" / "bigmodel.bash", bash_completion(commands));
  write_file(folder / "completions" / "bigmodel.zsh", zsh_completion(commands));
  write_file(folder / "completions" / "bigmodel.fish", fish_completion(commands));
  write_file(folder / "man" / "bigmodel.1", program_man_page(commands));
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    write_file(folder / "man" / fmt::format("bigmodel-{}.1", command->name), command_man_page(*command, commands));
  }
}

ExitStatus run(const Options& options, Session& session) {
  const std::string kind = options.text("KIND");
  if (kind == "all") {
    const std::optional<std::string> folder = options.find_text("output");
    if (!folder) throw UsageError("generate: all needs --output FOLDER");
    write_all(*folder, session.commands);
    return ExitStatus::done;
  }
  if (kind == "complete-bash") session.out.write(bash_completion(session.commands));
  if (kind == "complete-zsh") session.out.write(zsh_completion(session.commands));
  if (kind == "complete-fish") session.out.write(fish_completion(session.commands));
  if (kind == "man") {
    const std::optional<std::string> name = options.find_text("COMMAND");
    session.out.write(name ? command_man_page(visible_command(*name, session.commands), session.commands)
                           : program_man_page(session.commands));
  }
  return ExitStatus::done;
}

}  // namespace

Command generate_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
