// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "exit_status.h"

namespace bigmodel::app {
namespace {

constexpr int kMostColumns = 100;
constexpr int kOptionIndent = 6;
constexpr std::string_view kWhat =
    "Memory, shards, device maps and inference for models bigger than the machine.";

int columns(const Terminal& terminal) { return std::min(terminal.width_columns, kMostColumns); }

std::string heading(std::string_view text, const Terminal& terminal) {
  return styled(fmt::format("{}:", text), Style::bold, terminal) + "\n";
}

std::string command_list(std::span<const CommandSpec* const> commands, const Terminal& terminal) {
  std::size_t widest = 0;
  for (const CommandSpec* command : commands) {
    if (!command->hidden) widest = std::max(widest, command->name.size());
  }
  std::string out;
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    const int indent = static_cast<int>(widest) + 4;
    out += fmt::format("  {:<{}}  {}\n", command->name, widest,
                       wrapped(command->summary, columns(terminal) - indent, indent));
  }
  return out;
}

std::string option_rows(std::span<const OptionSpec> options, const Terminal& terminal) {
  std::string out;
  for (const OptionSpec& option : options) {
    const std::string letter = option.letter == 0 ? "    " : fmt::format("-{}, ", option.letter);
    const bool dashed = usage_form(option).starts_with("--");
    out += fmt::format("  {}{}\n{:{}}{}\n", dashed ? letter : "", styled(usage_form(option), Style::bold, terminal), "",
                       kOptionIndent + 4, wrapped(option_text(option), columns(terminal) - kOptionIndent - 4,
                                                  kOptionIndent + 4));
  }
  return out;
}

std::string examples(const CommandSpec& command, const Terminal& terminal) {
  if (command.examples.empty()) return {};
  std::string out = heading("Examples", terminal);
  for (const Example& example : command.examples) out += fmt::format("  {}\n      {}\n", example.line, example.what);
  return out + "\n";
}

}  // namespace

std::string wrapped(std::string_view text, int width, int indent) {
  width = std::max(width, 20);
  std::string out;
  int used = 0;
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    const std::string_view word = text.substr(0, blank);
    text = blank == std::string_view::npos ? std::string_view{} : text.substr(blank + 1);
    const int size = display_width(word);
    if (used != 0 && used + 1 + size > width) {
      out += "\n" + std::string(static_cast<std::size_t>(indent), ' ');
      used = 0;
    }
    if (used != 0) {
      out += ' ';
      ++used;
    }
    out += word;
    used += size;
  }
  return out;
}

std::string usage_line(const CommandSpec& command) {
  std::string out = fmt::format("bigmodel {} [OPTIONS]", command.name);
  for (const OptionSpec& positional : command.positionals) {
    out += positional.required ? fmt::format(" {}", usage_form(positional))
                               : fmt::format(" [{}]", usage_form(positional));
  }
  return out;
}

std::string option_text(const OptionSpec& option) {
  std::string out(option.help);
  if (!option.choices.empty()) {
    out += fmt::format(": {}{}", fmt::join(option.choices, ", "), option.open_choices ? ", or another" : "");
  }
  if (option.list == ListStyle::commas) out += "; several by comma or repetition";
  if (option.list == ListStyle::spaces) out += "; several by comma, blank or repetition";
  if (!option.default_text.empty()) out += fmt::format(" [default: {}]", option.default_text);
  if (!option.environment.empty()) out += fmt::format(" [also: {}]", fmt::join(option.environment, ", "));
  if (!option.more.empty()) out += fmt::format(". {}", option.more);
  return out;
}

std::string short_help(std::span<const CommandSpec* const> commands, const Terminal& terminal) {
  std::string out = wrapped(kWhat, columns(terminal), 0) + "\n\n";
  out += heading("Usage", terminal) + "  bigmodel COMMAND [OPTIONS] [ARGUMENTS]\n\n";
  std::string lines;
  for (const CommandSpec* command : commands) {
    if (!command->hidden && !command->examples.empty() && command->name != "help") {
      lines += fmt::format("  {}\n", command->examples.front().line);
    }
  }
  if (!lines.empty()) out += heading("Examples", terminal) + lines + "\n";
  out += heading("Commands", terminal) + command_list(commands, terminal);
  return out + "\n`bigmodel COMMAND --help` explains a command.\n";
}

std::string program_help(std::span<const CommandSpec* const> commands, const Terminal& terminal) {
  std::string out = short_help(commands, terminal) + "\n";
  out += heading("Options of every command", terminal) + option_rows(global_options(), terminal) + "\n";
  out += heading("Topics of `bigmodel help`", terminal);
  for (const HelpTopic& topic : help_topics()) out += fmt::format("  {:<11}  {}\n", topic.name, topic.summary);
  return out;
}

std::string command_help(const CommandSpec& command, const Terminal& terminal) {
  std::string out = wrapped(fmt::format("bigmodel {}: {}", command.name, command.summary), columns(terminal), 0) + "\n\n";
  out += heading("Usage", terminal) + fmt::format("  {}\n\n", usage_line(command));
  out += examples(command, terminal);
  for (const std::string_view paragraph : command.description) {
    out += wrapped(paragraph, columns(terminal), 0) + "\n\n";
  }
  if (!command.positionals.empty()) {
    out += heading("Arguments", terminal) + option_rows(command.positionals, terminal) + "\n";
  }
  if (!command.options.empty()) {
    out += heading("Options", terminal) + option_rows(command.options, terminal) + "\n";
  }
  out += heading("Options of every command", terminal) + option_rows(global_options(), terminal) + "\n";
  return out + "Exit codes: `bigmodel help exit-codes`.\n";
}

std::vector<std::string> topic_paragraphs(std::string_view topic) {
  if (topic == "environment") {
    return {"Every option can be set by a variable: BIGMODEL_ and its name in capitals with underscores "
            "(BIGMODEL_COLOR=never, BIGMODEL_DTYPES=float32,float16). Switches take 1, on, yes, true or 0, off, no, false.",
            "HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub is the "
            "Hub cache that is searched for models.",
            "NO_COLOR, CLICOLOR_FORCE, FORCE_COLOR, TERM, COLUMNS, LC_ALL, LC_CTYPE and LANG decide on colour, width and "
            "characters. XDG_CONFIG_HOME says where the config file is.",
            "bigmodel sends no telemetry, ever."};
  }
  if (topic == "config") {
    return {"$XDG_CONFIG_HOME/bigmodel/config.toml (else ~/.config/bigmodel/config.toml) holds options as key = value: "
            "before any section for every command, below [COMMAND] for one.",
            "Strings stand in quotes, lists in brackets on one line, switches are true or false, # starts a comment. "
            "The command line wins over the environment, and that over the file. --no-config leaves the file out.",
            "Example: color = \"never\", and below [estimate-memory]: dtypes = [\"float32\", \"bfloat16\"]"};
  }
  if (topic == "sizes") {
    return {"KB, MB, GB, TB and PB are powers of 1000, KiB, MiB, GiB, TiB and PiB powers of 1024, and a bare number is "
            "bytes: 200MB, 1.5GiB, 5000. Decimal fractions are taken; signs are not.",
            "Output says GiB for 2^30 and GB for 10^9, never one for the other. Only --format accelerate, which prints "
            "the reference's own table, says GB for 2^30 as the reference does."};
  }
  return {};
}

std::string topic_help(std::string_view topic, std::span<const CommandSpec* const> /*commands*/,
                       const Terminal& terminal) {
  std::string out;
  if (topic == "exit-codes") {
    for (const ExitStatusRow& row : exit_status_rows()) {
      out += fmt::format("{:>3}  {}\n", static_cast<int>(row.status), row.meaning);
    }
    return out + wrapped("A reader that closes the pipe early is no error (0). Ctrl-C and SIGTERM end the program by "
                         "that signal, which shells show as 130 and 143.",
                         columns(terminal), 0) +
           "\n";
  }
  for (const std::string& paragraph : topic_paragraphs(topic)) {
    if (!out.empty()) out += '\n';
    out += wrapped(paragraph, columns(terminal), 0) + "\n";
  }
  return out;
}

}  // namespace bigmodel::app
