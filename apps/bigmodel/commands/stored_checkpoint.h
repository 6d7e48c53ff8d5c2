// SPDX-License-Identifier: Apache-2.0
// --exact: the headers of a model's checkpoint, from its folder, the cache, or by byte ranges from the Hub; never its weights.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/checkpoint_totals.h"
#include "bigmodel/checkpoint/remote_checkpoint.h"
#include "commands/command.h"
#include "commands/hub_access.h"
#include "commands/model_argument.h"

namespace bigmodel::app {

OptionSpec exact_option();
/// Whether the command has --exact and it was given.
bool wants_exact(const Options& options);

/// Of a model that was found. Throws NotFoundError where there are no safetensors, and what reading them throws.
Checkpoint stored_checkpoint(const FoundModel& model, const Options& options, Session& session);

/// Those of a repository's safetensors, by byte ranges.
Checkpoint hub_headers(HubAccess& hub, const std::string& repo_id, const std::string& commit, const std::string& folder, const RemoteNames& names, Session& session);

/// {"files", "tensors", "parameters", "bytes", "dtypes": {dtype: bytes}}, each stored tensor once. `packed`: the tensors are a
/// quantiser's; their elements are no parameters and are not counted.
nlohmann::ordered_json stored_json(const Checkpoint& checkpoint, bool packed);
nlohmann::ordered_json stored_json(const CheckpointTotals& totals, std::size_t files, bool packed = false);
/// {dtype: bytes}, and "float32, int64".
nlohmann::ordered_json dtypes_json(const std::vector<DTypeTotal>& totals);
std::string dtype_names(const std::vector<DTypeTotal>& totals);
/// "checkpoint: 200 tensors, 108,340,804 parameters, 413.28 MiB in 1 file (float32)".
std::string stored_line(const Checkpoint& checkpoint, bool packed);

}  // namespace bigmodel::app
