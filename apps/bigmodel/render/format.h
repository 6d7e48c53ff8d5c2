// SPDX-License-Identifier: Apache-2.0
// How a command prints its result struct: --format, --json, --quiet judged in one place.
#pragma once

#include "cli/options.h"

namespace bigmodel::app {

enum class Format { table, json, jsonl, csv, markdown, accelerate };

/// From --format (where the command has it as an output format) and --json. The command line wins over the environment
/// and the file; two that contradict each other at one level are a UsageError.
Format output_format(const Options& options);

/// The row of --format for a command's table; `choices` starts with "table".
OptionSpec format_option(std::vector<std::string_view> choices);

}  // namespace bigmodel::app
