// SPDX-License-Identifier: Apache-2.0
// The small files beside the weights that make a folder a model: config, tokenizer, generation settings, README.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

/// Regular files of the checkpoint's folder that belong to the model and are no weights or index, sorted. Only where a folder
/// (or its index) was opened; a lone weight file brings nothing. Python files are left out, with a warning.
std::vector<std::filesystem::path> side_files_of(const Checkpoint& checkpoint, std::vector<std::string>& warnings);

/// Whether a file name is that of weights, an index of weights, or a trainer's state.
bool is_weight_related(std::string_view name);

}  // namespace bigmodel
