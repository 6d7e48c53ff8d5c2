// SPDX-License-Identifier: Apache-2.0
// What is wrong with a checkpoint: its files against each other, its values, and its tensors against another checkpoint's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/finding.h"
#include "bigmodel/checkpoint/tensor_content.h"
#include "bigmodel/core/progress.h"

namespace bigmodel {

struct VerifyOptions {
  std::string variant;          ///< as OpenOptions
  std::string under;            ///< as OpenOptions
  bool deep = false;            ///< read every tensor
  const Disk* disk = nullptr;   ///< nullptr: the real one
};

struct VerifyReport {
  Checkpoint checkpoint;                ///< what of it is readable
  std::vector<Finding> findings;        ///< errors and warnings; what Checkpoint::notes says, as notes
  std::vector<TensorContent> contents;  ///< with `deep`: one per tensor of `checkpoint`
};

/// Kinds of findings: missing_shard, unreadable_file, missing_in_shard, not_in_index, duplicate_tensor, total_size, bad_checksum (errors), nan, inf
/// (warnings), note. Throws where nothing of it can be read: NotFoundError, FormatError, UnsupportedError, IoError; CancelledError.
/// Memory is bounded by chunks. Thread-safe.
VerifyReport verify_checkpoint(const std::filesystem::path& path, const VerifyOptions& options, const WorkContext& work);

/// Tensor by tensor, whatever the containers and shardings: names, dtypes, shapes, and every byte. A name that one side dropped as an
/// alias (safetensors' __metadata__ or the index says of which tensor) is compared with that tensor. Kinds, all errors: only_here, only_there,
/// dtype_differs, shape_differs, value_differs (the first element that differs is named). Throws IoError, FormatError, CancelledError.
std::vector<Finding> compare_checkpoints(const Checkpoint& here, const Checkpoint& there, const Disk& disk, const WorkContext& work);

/// No error among them.
bool healthy(const std::vector<Finding>& findings);

}  // namespace bigmodel
