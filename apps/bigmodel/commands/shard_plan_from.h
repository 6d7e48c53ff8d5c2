// SPDX-License-Identifier: Apache-2.0
// shard --plan-from: the cut of a list of tensors that are described, not read.
#pragma once

#include <string>

#include "bigmodel/checkpoint/shard_plan.h"

namespace bigmodel::app {

/// Reads a JSON list of {"name", "dtype", "shape", "storage"?, "storage_bytes"?} (`-`: standard input) and returns the plan as
/// {"filename_to_tensors", "metadata", "weight_map"}. Equal `storage` texts share memory; a storage has `storage_bytes` bytes,
/// or N where its text is "base:N", else those of the tensor. Empty tensors without a storage share one, as in PyTorch.
/// Throws NotFoundError, IoError, FormatError.
std::string plan_of_list(const std::string& file, std::uint64_t max_shard_size_bytes, const ShardNames& names, ShardPolicy policy, bool indented);

}  // namespace bigmodel::app
