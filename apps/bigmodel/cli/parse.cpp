// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <map>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"

namespace bigmodel::app {
namespace {

bool is_option(std::string_view arg) { return arg.size() > 1 && arg[0] == '-'; }

/// The option that an argument names, or null: "--max_memory", "--max-memory=1GB", "-o".
const OptionSpec* named_option(const CommandSpec* command, std::string_view arg) {
  if (!is_option(arg)) return nullptr;
  if (arg.starts_with("--")) return find_option(command, arg.substr(2, arg.find('=') - 2));
  return arg.size() == 2 ? find_option(command, arg[1]) : nullptr;
}

[[noreturn]] void refuse_option(const CommandSpec* command, std::string_view arg) {
  const std::string_view shown = arg.substr(0, arg.find('='));
  std::string_view bare = shown;
  while (bare.starts_with('-')) bare.remove_prefix(1);
  std::string name(bare);
  std::ranges::replace(name, '_', '-');
  const std::vector<std::string> near = nearest_names(name, option_names(command), 1);
  const std::string help = command == nullptr ? "bigmodel --help" : fmt::format("bigmodel {} --help", command->name);
  throw UsageError(fmt::format("{}: no such option", shown),
                   near.empty() ? fmt::format("`{}` lists them", help)
                                : fmt::format("did you mean --{}?", near.front()));
}

/// Index of the command's name among the arguments, or args.size().
std::size_t command_index(std::span<const std::string> args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--") return args.size();
    if (!is_option(args[i])) return i;
    const OptionSpec* option = named_option(nullptr, args[i]);
    if (option != nullptr && option->kind != ValueKind::flag && args[i].find('=') == std::string::npos) ++i;
  }
  return args.size();
}

const CommandSpec* find_command(std::string_view name, std::span<const CommandSpec* const> commands) {
  std::string wanted(name);
  if (!wanted.starts_with("__")) std::ranges::replace(wanted, '_', '-');
  std::vector<std::string> known;
  for (const CommandSpec* command : commands) {
    if (command->name == wanted) return command;
    if (!command->hidden) known.emplace_back(command->name);
  }
  std::string hint = did_you_mean(wanted, known);
  if (hint.empty()) hint = "`bigmodel --help` lists them";
  throw UsageError(fmt::format("{}: no such command", name), std::move(hint));
}

/// Whether a word after `--dtypes float32` still belongs to the list: a value of it, or nearly one.
bool belongs_to_list(const OptionSpec& option, const std::string& word) {
  if (is_option(word)) return false;
  for (const std::string& part : split_list(word)) {
    if (option.kind == ValueKind::dtype) {
      std::vector<std::string> known;
      for (const DType dtype : all_dtypes()) known.emplace_back(name(dtype));
      if (!find_dtype(part) && nearest_names(part, known, 1).empty()) return false;
    } else {
      const std::vector<std::string> known(option.choices.begin(), option.choices.end());
      if (std::ranges::find(known, part) == known.end() && nearest_names(part, known, 1).empty()) return false;
    }
  }
  return true;
}

/// Joins the words of lists given by spaces: `--dtypes float32 float16 MODEL` -> `--dtypes float32,float16 MODEL`.
std::vector<std::string> join_spaced_lists(const CommandSpec& command, std::span<const std::string> args) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < args.size(); ++i) {
    out.push_back(args[i]);
    if (args[i] == "--") {
      out.insert(out.end(), args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      break;
    }
    const OptionSpec* option = named_option(&command, args[i]);
    if (option == nullptr || option->list != ListStyle::spaces || args[i].find('=') != std::string::npos) continue;
    if (i + 1 == args.size() || is_option(args[i + 1])) continue;
    std::string joined = args[++i];
    while (i + 1 < args.size() && belongs_to_list(*option, args[i + 1])) joined += "," + args[++i];
    out.push_back(std::move(joined));
  }
  return out;
}

std::string cli11_names(const OptionSpec& option) {
  std::string names = fmt::format("--{}", option.name);
  if (option.name.find('-') != std::string_view::npos) {
    std::string underscored(option.name);
    std::ranges::replace(underscored, '-', '_');
    names += ",--" + underscored;
  }
  if (option.letter != 0) names += fmt::format(",-{}", option.letter);
  return names;
}

void set_flag(Options& options, const OptionSpec& option, const std::vector<std::string>& texts) {
  const std::optional<bool> on = parse_boolean(texts.back());
  if (!on) {
    throw UsageError(fmt::format("--{}: not a valid value, expected true or false, got '{}'", option.name, texts.back()));
  }
  options.set(option, {{*on ? "true" : "false"}, Origin::command_line});
}

void assign_positionals(const CommandSpec& command, std::vector<std::string> words, Options& options) {
  std::size_t next = 0;
  for (const OptionSpec& positional : command.positionals) {
    if (next == words.size()) break;
    const std::size_t end = positional.repeated ? words.size() : next + 1;
    options.set(positional, {{words.begin() + static_cast<std::ptrdiff_t>(next),
                              words.begin() + static_cast<std::ptrdiff_t>(end)},
                             Origin::command_line});
    next = end;
  }
  if (next < words.size()) {
    throw UsageError(fmt::format("{}: one argument too many, got '{}'", command.name, words[next]),
                     fmt::format("`bigmodel {} --help` shows what it takes", command.name));
  }
}

void require_positionals(const CommandSpec& command, const Options& options) {
  for (const OptionSpec& positional : command.positionals) {
    if (!positional.required || options.given(positional.name)) continue;
    throw UsageError(fmt::format("{}: the argument {} is missing", command.name, positional.name),
                     command.examples.empty() ? fmt::format("see `bigmodel {} --help`", command.name)
                                              : fmt::format("such as `{}`", command.examples.front().line));
  }
}

/// Parses what belongs to one command (or to none) with CLI11.
void parse_words(const CommandSpec& command, std::vector<std::string> words, Options& options) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::map<const OptionSpec*, std::vector<std::string>> values;
  std::vector<std::pair<const OptionSpec*, CLI::Option*>> made;
  const auto add = [&](const OptionSpec& option) {
    if (option.kind == ValueKind::flag) {
      made.emplace_back(&option, app.add_flag(cli11_names(option)));
    } else {
      made.emplace_back(&option, app.add_option(cli11_names(option), values[&option])
                                     ->expected(1)
                                     ->allow_extra_args(false)
                                     ->take_all());
    }
  };
  for (const OptionSpec& option : command.options) add(option);
  for (const OptionSpec& option : global_options()) {
    if (std::ranges::find(command.options, option.name, &OptionSpec::name) == command.options.end()) add(option);
  }
  std::vector<std::string> positionals;
  app.add_option("POSITIONALS", positionals)->expected(0, -1);

  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string what = e.what();
    throw UsageError(fmt::format("{}: its value is missing", what.substr(0, what.find(':'))));
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
  // CLI11 2.1 lists what it did not know in reverse; name the first as typed.
  const std::vector<std::string> unknown = app.remaining();
  const auto first = std::ranges::find_if(words, [&](const std::string& word) {
    return is_option(word) && std::ranges::find(unknown, word) != unknown.end();
  });
  if (first != words.end()) refuse_option(&command, *first);
  for (const auto& [spec, option] : made) {
    if (option->count() == 0) continue;
    if (spec->kind == ValueKind::flag) {
      set_flag(options, *spec, option->results());
    } else {
      options.set(*spec, {option->results(), Origin::command_line});
    }
  }
  if (options.flag("help")) return;
  assign_positionals(command, std::move(positionals), options);
}

}  // namespace

ParsedCall parse_call(std::span<const std::string> args, std::span<const CommandSpec* const> commands,
                      const EnvironmentLookup& environment) {
  static const CommandSpec kNone{.name = "bigmodel"};
  const std::size_t at = command_index(args);
  ParsedCall call;
  std::vector<std::string> words(args.begin(), args.end());
  if (at < args.size()) {
    call.command = find_command(args[at], commands);
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
    words = join_spaced_lists(*call.command, words);
  }
  call.options = Options(call.command);
  parse_words(call.command == nullptr ? kNone : *call.command, std::move(words), call.options);
  if (call.options.flag("help")) return call;
  apply_environment(call.options, environment);
  if (!call.options.flag("no-config")) apply_config_file(call.options, commands, environment);
  if (call.command != nullptr && !call.options.flag("version")) require_positionals(*call.command, call.options);
  return call;
}

bool asks_for_json(std::span<const std::string> args, const EnvironmentLookup& environment) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--") break;
    if (args[i] == "--json" || args[i] == "-j" || args[i] == "--format=json" || args[i] == "--format=jsonl") return true;
    if (args[i] == "--format" && i + 1 < args.size() && (args[i + 1] == "json" || args[i + 1] == "jsonl")) return true;
  }
  const std::optional<std::string> variable = environment("BIGMODEL_JSON");
  return variable && parse_boolean(*variable).value_or(false);
}

}  // namespace bigmodel::app
