// SPDX-License-Identifier: Apache-2.0
#include "cli/option_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace bigmodel::app {
namespace {

std::string canonical(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '_', '-');
  return out;
}

const std::vector<OptionSpec>& globals() {
  static const std::vector<OptionSpec> kGlobals = {
      {.name = "help", .letter = 'h', .help = "print this help", .settable = false},
      {.name = "version",
       .letter = 'V',
       .help = "print the version; with --verbose also what this build can do",
       .settable = false},
      {.name = "quiet",
       .letter = 'q',
       .help = "print only the essential value, and no notes, warnings or progress"},
      {.name = "verbose", .letter = 'v', .help = "print more about what was read and decided"},
      {.name = "json", .letter = 'j', .help = "print JSON; the same as --format json"},
      {.name = "color",
       .kind = ValueKind::choice,
       .value_name = "WHEN",
       .help = "colour the output",
       .default_text = "auto",
       .choices = {"auto", "always", "never"},
       .more = "auto colours terminals only, and heeds NO_COLOR, CLICOLOR_FORCE, FORCE_COLOR and TERM=dumb."},
      {.name = "config",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "read settings from FILE instead of ~/.config/bigmodel/config.toml",
       .more = "Options given on the command line win over the environment (BIGMODEL_<OPTION>, HF_*), which wins "
               "over the file.",
       .settable = false},
      {.name = "no-config", .help = "read no config file", .settable = false},
  };
  return kGlobals;
}

}  // namespace

std::span<const OptionSpec> global_options() { return globals(); }

std::span<const HelpTopic> help_topics() noexcept {
  static constexpr HelpTopic kTopics[] = {
      {"exit-codes", "what the program's exit code says"},
      {"environment", "the variables that are read"},
      {"config", "the config file"},
      {"sizes", "how sizes are written: 10GB, 1.5GiB"},
  };
  return kTopics;
}

const OptionSpec* find_option(const CommandSpec* command, std::string_view name) {
  const std::string wanted = canonical(name);
  const auto search = [&](std::span<const OptionSpec> options) -> const OptionSpec* {
    for (const OptionSpec& option : options) {
      if (option.name == wanted) return &option;
    }
    return nullptr;
  };
  if (command != nullptr) {
    if (const OptionSpec* found = search(command->options)) return found;
  }
  return search(globals());
}

const OptionSpec* find_option(const CommandSpec* command, char letter) {
  const auto search = [&](std::span<const OptionSpec> options) -> const OptionSpec* {
    for (const OptionSpec& option : options) {
      if (option.letter == letter) return &option;
    }
    return nullptr;
  };
  if (command != nullptr) {
    if (const OptionSpec* found = search(command->options)) return found;
  }
  return search(globals());
}

std::vector<std::string> option_names(const CommandSpec* command) {
  std::vector<std::string> out;
  if (command != nullptr) {
    for (const OptionSpec& option : command->options) out.emplace_back(option.name);
  }
  for (const OptionSpec& option : globals()) out.emplace_back(option.name);
  return out;
}

std::string environment_name(const OptionSpec& option) {
  std::string out = "BIGMODEL_";
  for (const char c : option.name) {
    out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return out;
}

std::string usage_form(const OptionSpec& option) {
  const bool positional = !option.name.empty() && std::isupper(static_cast<unsigned char>(option.name[0])) != 0;
  if (positional) return fmt::format("{}{}", option.name, option.repeated ? "..." : "");
  if (option.kind == ValueKind::flag) return fmt::format("--{}", option.name);
  return fmt::format("--{} {}{}", option.name, option.value_name,
                     option.list == ListStyle::single ? "" : option.list == ListStyle::spaces ? "..." : ",...");
}

}  // namespace bigmodel::app
