// SPDX-License-Identifier: Apache-2.0
// The weights of one unit (a layer, an embedding, a head) as one piece of memory: where each tensor lies in it, and how it is read.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "bigmodel/engine/weight_source.h"

namespace bigmodel {

/// One read of a file into the slab. Neighbours of the file are neighbours in the slab, and both have the same phase to a disk block,
/// so that direct reads need no copy.
struct SlabRun {
  std::uint32_t file = 0;
  std::uint64_t file_offset = 0;
  std::uint64_t slab_offset = 0;
  std::uint64_t size_bytes = 0;
};

struct Slab {
  std::vector<SlabRun> runs;
  /// Tensors that must be put together or converted, and their places.
  std::vector<std::pair<const WeightSource*, std::uint64_t>> assembled;
  std::unordered_map<const WeightSource*, std::uint64_t> offsets;   ///< of every tensor
  std::uint64_t size_bytes = 0;
  std::uint64_t read_bytes = 0;    ///< from the files
};

/// Lays the tensors out. Each source once. Memory for a slab must start at a multiple of 4096.
Slab plan_slab(std::span<const WeightSource* const> sources);

/// Fills `memory` (size_bytes of it).
void read_slab(const Slab& slab, TensorReader& reader, std::span<std::byte> memory);

}  // namespace bigmodel
