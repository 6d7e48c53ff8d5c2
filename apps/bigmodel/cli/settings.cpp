// SPDX-License-Identifier: Apache-2.0
#include "cli/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel::app {
namespace {

constexpr std::uint64_t kConfigLimitBytes = 1 << 20;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// Reads values from a line, left to right.
class ValueReader {
 public:
  ValueReader(std::string_view text, std::string place) : text_(text), place_(std::move(place)) {}

  std::vector<std::string> read() {
    std::vector<std::string> out;
    skip_blanks();
    if (text_.starts_with('[')) {
      text_.remove_prefix(1);
      for (skip_blanks(); !text_.starts_with(']'); skip_blanks()) {
        out.push_back(read_one());
        skip_blanks();
        if (text_.starts_with(',')) {
          text_.remove_prefix(1);
        } else if (!text_.starts_with(']')) {
          fail("a list ends with ']' on its line");
        }
      }
      text_.remove_prefix(1);
    } else {
      out.push_back(read_one());
    }
    skip_blanks();
    if (!text_.empty() && !text_.starts_with('#')) fail(fmt::format("unexpected '{}' after the value", text_));
    return out;
  }

 private:
  void skip_blanks() {
    const std::size_t n = text_.find_first_not_of(" \t\r");
    text_.remove_prefix(n == std::string_view::npos ? text_.size() : n);
  }

  std::string read_one() {
    if (text_.empty() || text_.starts_with('#')) fail("a value is missing");
    const char quote = text_.front();
    if (quote == '"' || quote == '\'') return read_quoted(quote);
    const std::size_t n = text_.find_first_of(" \t\r,]#");
    const std::string out(text_.substr(0, n));
    text_.remove_prefix(out.size());
    if (out.empty()) fail("a value is missing");
    return out;
  }

  std::string read_quoted(char quote) {
    std::string out;
    for (std::size_t i = 1; i < text_.size(); ++i) {
      char c = text_[i];
      if (c == quote) {
        text_.remove_prefix(i + 1);
        return out;
      }
      if (c == '\\' && quote == '"' && i + 1 < text_.size()) {
        c = text_[++i];
        if (c == 'n') {
          c = '\n';
        } else if (c == 't') {
          c = '\t';
        } else if (c != '"' && c != '\\') {
          fail(fmt::format("unknown escape '\\{}'", c));
        }
      }
      out += c;
    }
    fail("the string has no closing quote");
  }

  [[noreturn]] void fail(std::string_view what) const { throw UsageError(fmt::format("{}: {}", place_, what)); }

  std::string_view text_;
  std::string place_;
};

/// A setting's texts as an option's value; flags become "true" and "false".
GivenValue setting(const OptionSpec& option, std::vector<std::string> texts, Origin origin, const std::string& place) {
  if (option.kind == ValueKind::flag) {
    const std::optional<bool> on = texts.size() == 1 ? parse_boolean(texts.front()) : std::nullopt;
    if (!on) throw UsageError(fmt::format("{}: not a valid value, expected true or false", place));
    texts = {*on ? "true" : "false"};
  }
  return {std::move(texts), origin};
}

void set_from(Options& options, const OptionSpec& option, std::vector<std::string> texts, Origin origin,
              const std::string& place) {
  try {
    options.set(option, setting(option, std::move(texts), origin, place));
  } catch (const UsageError& e) {
    if (e.message().starts_with(place)) throw;
    throw UsageError(fmt::format("{}: {}", place, e.message()), e.hint());
  }
}

template <typename Visit>
void for_each_settable(const Options& options, const Visit& visit) {
  if (options.command() != nullptr) {
    for (const OptionSpec& option : options.command()->options) {
      if (option.settable) visit(option);
    }
  }
  for (const OptionSpec& option : global_options()) {
    if (option.settable) visit(option);
  }
}

std::optional<std::string> variable(const EnvironmentLookup& environment, const std::string& name) {
  std::optional<std::string> value = environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

void refuse_unknown_keys(std::span<const ConfigEntry> entries, std::span<const CommandSpec* const> commands,
                         const std::string& file) {
  for (const ConfigEntry& entry : entries) {
    std::vector<std::string> known;
    bool section_known = entry.section.empty();
    for (const CommandSpec* command : commands) {
      if (!entry.section.empty() && command->name != entry.section) continue;
      section_known = true;
      for (const OptionSpec& option : command->options) {
        if (option.settable) known.emplace_back(option.name);
      }
    }
    if (!section_known) {
      std::vector<std::string> names;
      for (const CommandSpec* command : commands) names.emplace_back(command->name);
      throw UsageError(fmt::format("{}:{}: no such section '{}'", file, entry.line, entry.section),
                       did_you_mean(entry.section, names));
    }
    for (const OptionSpec& option : global_options()) {
      if (option.settable) known.emplace_back(option.name);
    }
    if (std::ranges::find(known, entry.key) == known.end()) {
      throw UsageError(fmt::format("{}:{}: no such option '{}'", file, entry.line, entry.key),
                       did_you_mean(entry.key, known));
    }
  }
}

}  // namespace

std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& object) {
  std::vector<ConfigEntry> out;
  std::string section;
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = text.find('\n');
    const std::string_view row = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const std::string place = fmt::format("{}:{}", object, line);
    if (row.empty() || row.front() == '#') continue;
    if (row.front() == '[') {
      const std::size_t close = row.find(']');
      if (close == std::string_view::npos) throw UsageError(fmt::format("{}: the section has no closing ']'", place));
      section = std::string(trimmed(row.substr(1, close - 1)));
      continue;
    }
    const std::size_t equals = row.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      throw UsageError(fmt::format("{}: not understood, expected key = value", place));
    }
    std::string key(trimmed(row.substr(0, equals)));
    std::ranges::replace(key, '_', '-');
    out.push_back({section, std::move(key), ValueReader(row.substr(equals + 1), place).read(), line});
  }
  return out;
}

void apply_environment(Options& options, const EnvironmentLookup& environment) {
  for_each_settable(options, [&](const OptionSpec& option) {
    if (options.given(option.name)) return;
    const std::string own = environment_name(option);
    if (const std::optional<std::string> text = variable(environment, own)) {
      set_from(options, option, {*text}, Origin::environment, own);
      return;
    }
    for (const std::string_view other : option.environment) {
      std::optional<std::string> text = variable(environment, std::string(other));
      if (!text) continue;
      // huggingface_hub counts whatever is not clearly true as false; so do its variables here.
      if (option.kind == ValueKind::flag) text = parse_boolean(*text).value_or(false) ? "true" : "false";
      set_from(options, option, {*text}, Origin::environment, std::string(other));
      return;
    }
  });
}

std::optional<std::filesystem::path> config_file_path(const Options& options, const EnvironmentLookup& environment) {
  if (const std::optional<std::string> given = options.find_text("config")) return *given;
  if (const std::optional<std::string> folder = variable(environment, "XDG_CONFIG_HOME")) {
    return std::filesystem::path(*folder) / "bigmodel" / "config.toml";
  }
  if (const std::optional<std::string> home = variable(environment, "HOME")) {
    return std::filesystem::path(*home) / ".config" / "bigmodel" / "config.toml";
  }
  return std::nullopt;
}

void apply_config_file(Options& options, std::span<const CommandSpec* const> commands,
                       const EnvironmentLookup& environment) {
  const std::optional<std::filesystem::path> path = config_file_path(options, environment);
  if (!path) return;
  std::string text;
  try {
    text = read_file(*path, kConfigLimitBytes);
  } catch (const NotFoundError&) {
    if (options.given("config")) throw;
    return;
  }
  const std::string file = path->string();
  const std::vector<ConfigEntry> entries = parse_config(text, file);
  refuse_unknown_keys(entries, commands, file);
  const auto apply = [&](bool sections) {
    for (const ConfigEntry& entry : entries) {
      if (sections != !entry.section.empty()) continue;
      if (sections && (options.command() == nullptr || options.command()->name != entry.section)) continue;
      const OptionSpec* option = find_option(options.command(), entry.key);
      if (option == nullptr || options.given(option->name)) continue;
      set_from(options, *option, entry.values, Origin::config_file, fmt::format("{}:{}", file, entry.line));
    }
  };
  apply(true);
  apply(false);
}

}  // namespace bigmodel::app
