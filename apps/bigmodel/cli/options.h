// SPDX-License-Identifier: Apache-2.0
// The options of one call, checked and typed. Strings die here: commands read values, never argv.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "cli/option_table.h"

namespace bigmodel::app {

enum class Origin { command_line, environment, config_file };

/// Looks a variable of the environment up; tests pass their own.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string&)>;

/// A value as it was given, with where it came from.
struct GivenValue {
  std::vector<std::string> texts;
  Origin origin = Origin::command_line;
};

class Options {
 public:
  Options() = default;
  explicit Options(const CommandSpec* command) : command_(command) {}

  /// Checks the texts against the option's kind and choices and stores them.
  /// Throws UsageError: `--format: no such choice, expected table|json, got 'jsn'; did you mean 'json'?`
  void set(const OptionSpec& option, GivenValue value);

  bool flag(std::string_view name) const;
  /// Given anywhere (command line, environment, config file), not by default.
  bool given(std::string_view name) const;
  /// The value, else the default; nullopt where there is neither.
  std::optional<std::string> find_text(std::string_view name) const;
  /// The same of an option that has a default or was checked to be given.
  std::string text(std::string_view name) const;
  /// All values of a list option or a repeated positional.
  std::vector<std::string> list(std::string_view name) const;
  std::optional<std::int64_t> find_integer(std::string_view name) const;
  std::optional<double> find_number(std::string_view name) const;
  std::optional<std::uint64_t> find_size_bytes(std::string_view name) const;
  std::optional<DType> find_dtype_value(std::string_view name) const;
  /// The dtypes of a list option.
  std::vector<DType> dtypes(std::string_view name) const;

  const CommandSpec* command() const { return command_; }
  const std::map<std::string, GivenValue, std::less<>>& values() const { return values_; }

 private:
  const OptionSpec& spec(std::string_view name) const;

  const CommandSpec* command_ = nullptr;
  std::map<std::string, GivenValue, std::less<>> values_;
};

/// 1 ON YES TRUE are true and 0 OFF NO FALSE false, in any case, as huggingface_hub reads them; else nullopt.
std::optional<bool> parse_boolean(std::string_view text);

/// Splits at commas; empty parts are dropped.
std::vector<std::string> split_list(std::string_view text);

}  // namespace bigmodel::app
