// SPDX-License-Identifier: Apache-2.0
// A slab as it lies in an accelerator's memory: every tensor on an address that kernels read 16 bytes at a time, in as few copies as that takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/engine/slab.h"

namespace bigmodel {

/// In RAM a slab has the phase of its file; a file's tensors may begin at any byte. Here each begins at a multiple of kTensorAlignment.
struct DeviceSlab {
  static constexpr std::uint64_t kTensorAlignment = 16;
  static constexpr std::uint64_t kPieceAlignment = 256;

  struct Piece {
    std::uint64_t slab_offset = 0;
    std::uint64_t device_offset = 0;
    std::uint64_t size_bytes = 0;
  };

  Slab slab;                  ///< in RAM
  std::vector<Piece> pieces;
  std::unordered_map<const WeightSource*, std::uint64_t> offsets;   ///< in the device's memory, of every tensor
  std::uint64_t size_bytes = 0;   ///< there
};

DeviceSlab plan_device_slab(Slab slab);

/// Queues the copies of a slab that lies in pinned RAM at `from` to `to`, a multiple of kPieceAlignment. Throws DeviceError.
void queue_slab(const DeviceSlab& slab, const Accelerator& device, Lane lane, const std::byte* from, std::byte* to);

/// Pinned RAM for a slab, at a multiple of kDirectAlignment, so that read_slab needs no detour. Throws CapacityError.
std::shared_ptr<std::byte[]> pinned_slab_memory(const Accelerator& device, std::uint64_t size_bytes);

}  // namespace bigmodel
