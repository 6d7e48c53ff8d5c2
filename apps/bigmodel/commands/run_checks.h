// SPDX-License-Identifier: Apache-2.0
// What a run looks at before it computes, so that nothing is found out too late: its output file, options that do nothing, too little memory.
#pragma once

#include <filesystem>

#include "commands/command.h"
#include "commands/run_plan.h"

namespace bigmodel::app {

/// Throws IoError where `path` cannot become a file. Leaves nothing behind.
void check_output_file(const std::filesystem::path& path);

/// Throws UsageError for options that belong to other runs, and warns of those that change nothing here. `generates`: of text.
void check_idle_options(const Options& options, bool generates, Notes& notes);

/// Warns where a map that a user gave puts more into RAM than this process may take.
void check_memory(const RunPlan& plan, const Options& options, Notes& notes);

}  // namespace bigmodel::app
