// SPDX-License-Identifier: Apache-2.0
#include "cli/completions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace bigmodel::app {
namespace {

constexpr std::string_view kHead = "# Made by `bigmodel generate` from the option table; do not edit.\n";

std::vector<const OptionSpec*> all_options(const CommandSpec& command) {
  std::vector<const OptionSpec*> out;
  for (const OptionSpec& option : command.options) out.push_back(&option);
  for (const OptionSpec& option : global_options()) {
    if (std::ranges::find(command.options, option.name, &OptionSpec::name) == command.options.end()) {
      out.push_back(&option);
    }
  }
  return out;
}

std::string command_words(std::span<const CommandSpec* const> commands) {
  std::vector<std::string_view> names;
  for (const CommandSpec* command : commands) {
    if (!command->hidden) names.push_back(command->name);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

/// Words of `help`'s argument.
std::string topic_words(std::span<const CommandSpec* const> commands) {
  std::string out = command_words(commands);
  for (const HelpTopic& topic : help_topics()) out += fmt::format(" {}", topic.name);
  return out;
}

std::string quoted(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// For single quotes of bash and zsh.
std::string in_single_quotes(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out;
}

std::string bash_values(const OptionSpec& option, std::span<const CommandSpec* const> commands) {
  if (option.kind == ValueKind::path) return "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\"))";
  if (option.kind == ValueKind::model) {
    return "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\") "
           "$(compgen -W \"$(bigmodel __complete models 2>/dev/null)\" -- \"$cur\"))";
  }
  if (option.kind == ValueKind::dtype) {
    return "COMPREPLY=($(compgen -W \"$(bigmodel __complete dtypes 2>/dev/null)\" -- \"$cur\"))";
  }
  if (option.name == "TOPIC") return fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", topic_words(commands));
  if (!option.choices.empty()) {
    return fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", fmt::join(option.choices, " "));
  }
  return "COMPREPLY=()";
}

std::string bash_option_values(std::span<const OptionSpec* const> options,
                               std::span<const CommandSpec* const> commands) {
  std::string out;
  for (const OptionSpec* option : options) {
    if (option->kind == ValueKind::flag) continue;
    const std::string letter = option->letter == 0 ? "" : fmt::format("|-{}", option->letter);
    out += fmt::format("        --{}{}) {}; return ;;\n", option->name, letter, bash_values(*option, commands));
  }
  return out;
}

std::string option_words(std::span<const OptionSpec* const> options) {
  std::vector<std::string> words;
  for (const OptionSpec* option : options) words.push_back(fmt::format("--{}", option->name));
  return fmt::format("{}", fmt::join(words, " "));
}

std::string zsh_values(const OptionSpec& option, std::span<const CommandSpec* const> commands) {
  if (option.kind == ValueKind::path) return "_files";
  if (option.kind == ValueKind::model) return "_bigmodel_models";
  if (option.kind == ValueKind::dtype) return "_bigmodel_dtypes";
  if (option.name == "TOPIC") return fmt::format("({})", topic_words(commands));
  if (!option.choices.empty()) return fmt::format("({})", fmt::join(option.choices, " "));
  return " ";
}

std::string zsh_option(const OptionSpec& option, std::span<const CommandSpec* const> commands) {
  const std::string help = in_single_quotes(quoted(option.help, "[]:"));
  const std::string value =
      option.kind == ValueKind::flag
          ? ""
          : fmt::format(":{}:{}", quoted(option.value_name, ":"), in_single_quotes(zsh_values(option, commands)));
  const std::string repeat = option.list == ListStyle::single ? "" : "*";
  if (option.letter == 0) return fmt::format("'{}--{}[{}]{}'", repeat, option.name, help, value);
  return fmt::format("{{-{},--{}}}'[{}]{}'", option.letter, option.name, help, value);
}

}  // namespace

std::string bash_completion(std::span<const CommandSpec* const> commands) {
  static const CommandSpec kNone{.name = "bigmodel"};
  std::string out(kHead);
  out += "_bigmodel() {\n"
         "  local cur prev command word i\n"
         "  cur=${COMP_WORDS[COMP_CWORD]}\n"
         "  prev=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  command=\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    word=${COMP_WORDS[i]}\n"
         "    case $word in\n"
         "      --color|--config) i=$((i + 1)) ;;\n"
         "      -*) ;;\n"
         "      *) command=$word; break ;;\n"
         "    esac\n"
         "  done\n"
         "  COMPREPLY=()\n"
         "  case $command in\n";
  const auto section = [&](std::string_view pattern, const CommandSpec& command, const std::string& words) {
    const std::vector<const OptionSpec*> options = all_options(command);
    out += fmt::format("    {})\n      case $prev in\n{}      esac\n", pattern, bash_option_values(options, commands));
    out += fmt::format("      if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n",
                       option_words(options));
    if (!words.empty()) out += fmt::format("      else\n        {}\n", words);
    out += "      fi\n      ;;\n";
  };
  section("''", kNone, fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", command_words(commands)));
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    section(command->name, *command,
            command->positionals.empty() ? std::string{} : bash_values(command->positionals.front(), commands));
  }
  out += "  esac\n}\ncomplete -F _bigmodel bigmodel\n";
  return out;
}

std::string zsh_completion(std::span<const CommandSpec* const> commands) {
  std::string out = "#compdef bigmodel\n";
  out += kHead;
  out += "_bigmodel_models() {\n"
         "  local -a models\n"
         "  models=(${(f)\"$(bigmodel __complete models 2>/dev/null)\"})\n"
         "  _alternative 'models:model:compadd -a models' 'files:file:_files'\n"
         "}\n\n"
         "_bigmodel_dtypes() {\n"
         "  local -a dtypes\n"
         "  dtypes=(${(f)\"$(bigmodel __complete dtypes 2>/dev/null)\"})\n"
         "  compadd -a dtypes\n"
         "}\n\n"
         "_bigmodel() {\n"
         "  local curcontext=$curcontext state line\n"
         "  typeset -A opt_args\n"
         "  _arguments -C \\\n";
  for (const OptionSpec& option : global_options()) out += fmt::format("    {} \\\n", zsh_option(option, commands));
  out += "    '1:command:->command' \\\n    '*::argument:->argument'\n"
         "  case $state in\n"
         "    command)\n"
         "      local -a commands\n"
         "      commands=(\n";
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    out += fmt::format("        '{}:{}'\n", command->name, in_single_quotes(quoted(command->summary, ":")));
  }
  out += "      )\n      _describe command commands\n      ;;\n    argument)\n      case $line[1] in\n";
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    out += fmt::format("        {})\n          _arguments", command->name);
    for (const OptionSpec* option : all_options(*command)) {
      out += fmt::format(" \\\n            {}", zsh_option(*option, commands));
    }
    for (const OptionSpec& positional : command->positionals) {
      out += fmt::format(" \\\n            '{}:{}:{}'", positional.repeated ? "*" : "", positional.name,
                         in_single_quotes(zsh_values(positional, commands)));
    }
    out += "\n          ;;\n";
  }
  out += "      esac\n      ;;\n  esac\n}\n\n"
         "if [ \"$funcstack[1]\" = \"_bigmodel\" ]; then\n  _bigmodel \"$@\"\nelse\n  compdef _bigmodel bigmodel\nfi\n";
  return out;
}

std::string fish_completion(std::span<const CommandSpec* const> commands) {
  std::string out(kHead);
  const auto text = [](std::string_view words) { return quoted(words, "'\\"); };
  const auto add_option = [&](const std::string& condition, const OptionSpec& option) {
    out += "complete -c bigmodel";
    if (!condition.empty()) out += fmt::format(" -n '{}'", condition);
    if (option.letter != 0) out += fmt::format(" -s {}", option.letter);
    out += fmt::format(" -l {} -d '{}'", option.name, text(option.help));
    if (option.kind == ValueKind::path) {
      out += " -r -F";
    } else if (option.kind == ValueKind::dtype) {
      out += " -x -a '(bigmodel __complete dtypes 2>/dev/null)'";
    } else if (!option.choices.empty()) {
      out += fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
    } else if (option.kind != ValueKind::flag) {
      out += " -x";
    }
    out += "\n";
  };
  out += "complete -c bigmodel -f\n";
  for (const OptionSpec& option : global_options()) add_option("", option);
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    out += fmt::format("complete -c bigmodel -n __fish_use_subcommand -a {} -d '{}'\n", command->name,
                       text(command->summary));
  }
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    const std::string condition = fmt::format("__fish_seen_subcommand_from {}", command->name);
    for (const OptionSpec& option : command->options) add_option(condition, option);
    if (command->positionals.empty()) continue;
    const OptionSpec& first = command->positionals.front();
    if (first.kind == ValueKind::model) {
      out += fmt::format("complete -c bigmodel -n '{}' -F -a '(bigmodel __complete models 2>/dev/null)'\n", condition);
    } else if (first.kind == ValueKind::path) {
      out += fmt::format("complete -c bigmodel -n '{}' -F\n", condition);
    } else if (first.name == "TOPIC") {
      out += fmt::format("complete -c bigmodel -n '{}' -a '{}'\n", condition, topic_words(commands));
    } else if (!first.choices.empty()) {
      out += fmt::format("complete -c bigmodel -n '{}' -a '{}'\n", condition, fmt::join(first.choices, " "));
    }
  }
  return out;
}

}  // namespace bigmodel::app
