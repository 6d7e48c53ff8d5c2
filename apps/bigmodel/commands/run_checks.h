// SPDX-License-Identifier: Apache-2.0
// What a run looks at before it computes, so that nothing is found out too late: its output file, options that do nothing, too little memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "commands/command.h"
#include "commands/run_plan.h"

namespace bigmodel::app {

/// Throws IoError where `path` cannot become a file. Leaves nothing behind.
void check_output_file(const std::filesystem::path& path);

/// Throws UsageError for options that belong to other runs, and warns of those that change nothing here. `generates`: of text.
void check_idle_options(const Options& options, bool generates, Notes& notes);

/// Throws UsageError for an id that the model's table of tokens does not have, as running it would, where the roles of its description say
/// which table `ids` are looked up in.
void check_ids(const MetaGraph& graph, std::span<const std::int64_t> ids);

/// Warns where a map that a user gave puts more into RAM than this process may take.
void check_memory(const RunPlan& plan, const Options& options, Notes& notes);

}  // namespace bigmodel::app
