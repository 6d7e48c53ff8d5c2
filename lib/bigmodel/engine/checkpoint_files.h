// SPDX-License-Identifier: Apache-2.0
// Which files load_checkpoint_in_model reads: accelerate's choice, which is not transformers' (checkpoint/choose_files.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/planning/infer_device_map.h"

namespace bigmodel {

/// A file of weights, an index (.json: a weight_map, or the map itself), or a folder with pytorch_model.bin, else model.safetensors, else one index.
/// Headers only. Messages: what the reference logs. Throws UsageError and FormatError in the reference's words, NotFoundError, IoError,
/// UnsupportedError.
Checkpoint open_weight_files(const std::filesystem::path& path, const Disk& disk, std::vector<DeviceMapMessage>& messages);

/// The tensors that an index names, in its order. Throws FormatError, NotFoundError, IoError.
std::vector<std::string> index_keys(const std::filesystem::path& index);

}  // namespace bigmodel
