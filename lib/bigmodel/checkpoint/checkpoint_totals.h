// SPDX-License-Identifier: Apache-2.0
// What a checkpoint's headers add up to: by dtype, and by layer with equal layers folded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

struct TensorTotal {
  std::uint64_t tensors = 0;
  std::int64_t parameters = 0;  ///< elements, buffers' too: files do not tell them apart
  std::uint64_t size_bytes = 0;
};

struct DTypeTotal : TensorTotal {
  DType dtype = DType::float32;
};

/// Layers in a row with the same tensors but for the number: "encoder.layer.0-11". The totals are those of one of them.
struct LayerTotal : TensorTotal {
  std::string name;                ///< layer_of (shard_plan.h) of its tensors
  std::uint64_t count = 1;
  std::vector<DTypeTotal> dtypes;  ///< in order of appearance
};

struct CheckpointTotals : TensorTotal {
  std::vector<DTypeTotal> dtypes;   ///< in order of appearance
  std::vector<LayerTotal> layers;   ///< in order of appearance, numbered ones in the order of their numbers
};

/// A tensor with several names (the very same view) counts once, under its first. Throws FormatError on overflow.
CheckpointTotals checkpoint_totals(const Checkpoint& checkpoint);

}  // namespace bigmodel
