// SPDX-License-Identifier: Apache-2.0
// What only reading the tensors tells: digests, NaN and infinite values, statistics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/value_statistics.h"
#include "bigmodel/core/progress.h"

namespace bigmodel {

struct ContentOptions {
  bool digest = true;
  bool statistics = false;
};

/// What reading one tensor told. A complex element counts once, as NaN if either part is.
struct TensorContent {
  std::uint64_t nan_count = 0;
  std::uint64_t inf_count = 0;
  std::string sha256;  ///< with `digest`: of the contiguous little-endian bytes, 64 hex digits
  std::optional<ValueStatistics> statistics;  ///< with `statistics`, of dtypes whose elements are real numbers
};

/// Reads every tensor once, in the checkpoint's order, in memory bounded by chunks. One row per tensor.
/// Throws IoError, FormatError, CancelledError.
std::vector<TensorContent> read_contents(const Checkpoint& checkpoint, const ContentOptions& options, const Disk& disk, const WorkContext& work);

}  // namespace bigmodel
