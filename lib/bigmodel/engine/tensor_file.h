// SPDX-License-Identifier: Apache-2.0
// Tensors with names in a safetensors file: what a run writes (--logits) and reads (--input).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/engine/tensor.h"

namespace bigmodel {

/// float16, bfloat16 and float64 come as float32, integers of 8 to 32 bits and booleans as int64. Throws NotFoundError, IoError, FormatError,
/// UnsupportedError (a dtype that is neither).
std::map<std::string, Tensor> read_tensor_file(const std::filesystem::path& path);

/// Replaces the file in one step. Throws IoError.
void write_tensor_file(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors);

}  // namespace bigmodel
