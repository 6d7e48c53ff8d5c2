// SPDX-License-Identifier: Apache-2.0
// accelerate's offload folder: index.json {"NAME": {"dtype": "float32", "shape": [2, 3]}} and one NAME.dat per tensor.
// Reference: accelerate/utils/offload.py, offload_weight.
#pragma once

#include <filesystem>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

/// An index.json whose values have dtype and shape (or safetensors_file); false for other JSON, never throws for content.
bool is_offload_index(const std::filesystem::path& index);

/// Appends the folder's files and tensors. A scalar is stored as one element, which its index says as shape [].
/// Entries that point into a safetensors file (safetensors_file, weight_name) are read from there.
/// Throws NotFoundError, FormatError, IoError.
void read_offload_folder(const Disk& disk, const std::filesystem::path& index, Checkpoint& checkpoint);

}  // namespace bigmodel
