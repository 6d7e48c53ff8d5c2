// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/device_slab.h"

#include <algorithm>
#include <utility>

#include "bigmodel/io/direct_reader.h"

namespace bigmodel {
namespace {

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t step) { return (value + step - 1) / step * step; }

}  // namespace

DeviceSlab plan_device_slab(Slab slab) {
  DeviceSlab out;
  std::vector<std::pair<std::uint64_t, const WeightSource*>> tensors;
  for (const auto& [source, offset] : slab.offsets) tensors.emplace_back(offset, source);
  // By name where two share a place, so that the layout does not depend on addresses.
  std::ranges::sort(tensors, [](const auto& a, const auto& b) { return std::pair(a.first, std::string_view(a.second->name)) < std::pair(b.first, std::string_view(b.second->name)); });
  // Gaps of more than this are not worth copying.
  constexpr std::uint64_t kCheapGap = 16 * 1024;
  for (const auto& [offset, source] : tensors) {
    const std::uint64_t size = source->size_bytes();
    if (!out.pieces.empty()) {
      DeviceSlab::Piece& piece = out.pieces.back();
      const std::uint64_t end = piece.slab_offset + piece.size_bytes;
      const std::uint64_t there = piece.device_offset + (offset - piece.slab_offset);
      if (there % DeviceSlab::kTensorAlignment == 0 && offset <= end + kCheapGap) {
        piece.size_bytes = std::max(piece.size_bytes, offset + size - piece.slab_offset);
        out.offsets.emplace(source, there);
        out.size_bytes = piece.device_offset + piece.size_bytes;
        continue;
      }
    }
    const std::uint64_t there = rounded_up(out.size_bytes, DeviceSlab::kPieceAlignment);
    out.pieces.push_back({offset, there, size});
    out.offsets.emplace(source, there);
    out.size_bytes = there + size;
  }
  out.slab = std::move(slab);
  return out;
}

void queue_slab(const DeviceSlab& slab, const Accelerator& device, Lane lane, const std::byte* from, std::byte* to) {
  for (const DeviceSlab::Piece& p : slab.pieces) device.queue_copy_in(lane, to + p.device_offset, {from + p.slab_offset, static_cast<std::size_t>(p.size_bytes)});
}

std::shared_ptr<std::byte[]> pinned_slab_memory(const Accelerator& device, std::uint64_t size_bytes) {
  const std::shared_ptr<std::byte[]> all = device.allocate_pinned(size_bytes + kDirectAlignment);
  void* place = all.get();
  std::size_t space = static_cast<std::size_t>(size_bytes + kDirectAlignment);
  return {all, static_cast<std::byte*>(std::align(static_cast<std::size_t>(kDirectAlignment), static_cast<std::size_t>(size_bytes), place, space))};
}

}  // namespace bigmodel
