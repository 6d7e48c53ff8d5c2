// SPDX-License-Identifier: Apache-2.0
// `bigmodel inspect` of weight files: where each tensor lies, what it holds, and totals by dtype and by layer.
#pragma once

#include <string>
#include <vector>

#include "commands/command.h"
#include "render/format.h"

namespace bigmodel::app {

/// --checkpoint, --digest, --stats, --variant, --under: with one of them the files are shown, also where a config.json lies beside them.
std::vector<OptionSpec> inspect_checkpoint_rows();

/// Whether the call is about files: one of those options was given, or MODEL is a weight file, an index, or a folder with weights and no
/// config.json.
bool inspects_checkpoint(const std::string& argument, const Options& options);

/// Reads headers; the tensors too under --digest and --stats. Throws UsageError for options that only make sense of a model.
void inspect_checkpoint(const std::string& argument, const Options& options, Format format, Session& session);

}  // namespace bigmodel::app
