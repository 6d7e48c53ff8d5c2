// SPDX-License-Identifier: Apache-2.0
// Settings below the command line: the environment, then the config file.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/options.h"

namespace bigmodel::app {

/// Fills options that are not given yet from BIGMODEL_<OPTION> and the option's further variables (HF_HUB_OFFLINE ...).
/// An empty variable counts as unset. Throws UsageError naming the variable.
void apply_environment(Options& options, const EnvironmentLookup& environment);

/// Fills options that are not given yet from the config file: keys before any section hold for every command, keys in
/// [command] for that one and win. Throws UsageError for what cannot be read, with its line.
void apply_config_file(Options& options, std::span<const CommandSpec* const> commands,
                       const EnvironmentLookup& environment);

/// Where the config file would be; nullopt where neither XDG_CONFIG_HOME nor HOME is set.
std::optional<std::filesystem::path> config_file_path(const Options& options, const EnvironmentLookup& environment);

/// One `key = value` of the file: a subset of TOML (strings, numbers, booleans, lists on one line, comments).
struct ConfigEntry {
  std::string section;  ///< empty before the first [section]
  std::string key;
  std::vector<std::string> values;
  int line = 0;
};

/// Throws UsageError: `<object>:3: <what is wrong>`.
std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& object);

}  // namespace bigmodel::app
