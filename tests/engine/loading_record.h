// SPDX-License-Identifier: Apache-2.0
// Replays one call of accelerate's loading functions (goldens/offload/loading.jsonl) on ours and says where they part.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace bigmodel::test {

/// Empty: results, offload folder, error, messages and hooks are equal. `checkpoints`: the unpacked folder of that name.
std::string loading_difference(const nlohmann::ordered_json& record, const std::filesystem::path& checkpoints);

/// The same of a state dict that offload_state_dict wrote; `folder` is the reference's own folder of that id.
std::string state_dict_difference(const nlohmann::ordered_json& record, const std::filesystem::path& folder);

}  // namespace bigmodel::test
