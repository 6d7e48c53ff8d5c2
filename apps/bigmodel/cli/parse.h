// SPDX-License-Identifier: Apache-2.0
// argv -> a command and its checked options. The only user of CLI11, which here splits arguments; kinds, choices, typo
// hints and settings are ours, so that flags, environment and config file are judged alike.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/option_table.h"
#include "cli/options.h"
#include "cli/settings.h"

namespace bigmodel::app {

struct ParsedCall {
  const CommandSpec* command = nullptr;  ///< null: none was named
  Options options;
};

/// `args` without the program's name. Settings fill in what the command line leaves open.
/// Throws UsageError; one for `--help` is never thrown because something else is missing.
ParsedCall parse_call(std::span<const std::string> args, std::span<const CommandSpec* const> commands,
                      const EnvironmentLookup& environment);

/// Whether an error in these arguments, which may not parse, should be printed as JSON.
bool asks_for_json(std::span<const std::string> args, const EnvironmentLookup& environment);

}  // namespace bigmodel::app
