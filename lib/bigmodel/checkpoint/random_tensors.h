// SPDX-License-Identifier: Apache-2.0
// A checkpoint that is made up: tensors whose elements follow from a seed, the tensor's name and the element's place, so that
// any range can be made at any time, by any thread, and nothing need be held.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

struct RandomTensor : TensorInfo {
  TensorFill fill;
};

/// For plan_shard_job and write_shards. Floating-point tensors take every kind of fill, whole-number types zeros, ones and arange,
/// others zeros. Throws FormatError on overflow, UnsupportedError for a dtype that elements cannot be made of.
Checkpoint random_checkpoint(std::vector<RandomTensor> tensors, std::uint64_t seed);

/// Elements from `first` on, as many as fill `out` (a multiple of the element's size), little-endian.
void make_elements(const CheckpointTensor& tensor, std::uint64_t first, std::span<std::byte> out);

}  // namespace bigmodel
