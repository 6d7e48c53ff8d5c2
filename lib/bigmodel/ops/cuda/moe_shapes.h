// SPDX-License-Identifier: Apache-2.0
// How mixtures of experts are cut into blocks of threads: pure functions of the sizes, so that a CPU can test them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::ops {

/// Limits of the router's kernel: a bit of a lane's word for each expert, and a list of those chosen.
inline constexpr std::int64_t kMostExperts = 1024;
inline constexpr std::int64_t kMostChosen = 64;

/// Up to so many rows, each slot (a row and one of its experts) reads its expert for itself.
inline constexpr std::int64_t kFewExpertRows = 16;
/// Slots and outputs of a tile, and how deep it is at a time.
inline constexpr int kExpertTile = 64;
inline constexpr int kExpertDepth = 32;
/// Many rows go in passes whose scratch stays below this.
inline constexpr std::int64_t kExpertScratchBytes = std::int64_t{256} << 20;
/// Of few rows: warps of a block, and outputs of a warp.
inline constexpr int kExpertWarps = 8;
inline constexpr int kUpOuts = 2;
/// Of few rows, transposed: columns of a block, in pieces of 8 with 32 threads for each.
inline constexpr int kColumns = 64;

constexpr unsigned parts_of(std::int64_t count, std::int64_t size) { return static_cast<unsigned>((count + size - 1) / size); }

/// One warp for each row.
inline LaunchShape route_shape(std::int64_t rows, const RoutingRule& rule) {
  LaunchShape out;
  out.grid_x = static_cast<unsigned>(rows);
  out.threads = 32;
  out.shared_bytes = static_cast<std::size_t>(2 * rule.experts + 2 * rule.groups + kMostChosen) * 4;
  return out;
}

/// x: outputs, y: slots.
inline LaunchShape few_up_shape(std::int64_t slots, std::int64_t width, bool transposed, bool plain) {
  LaunchShape out;
  out.grid_x = transposed ? parts_of(width, plain ? kColumns : kColumns / 2) : parts_of(width, kExpertWarps * kUpOuts);
  out.grid_y = static_cast<unsigned>(slots);
  out.threads = 256;
  out.shared_bytes = transposed ? static_cast<std::size_t>(32 * kColumns * 4) : 0;
  return out;
}

/// x: outputs, y: rows.
inline LaunchShape few_down_shape(std::int64_t rows, std::int64_t size, bool transposed) {
  LaunchShape out;
  out.grid_x = parts_of(size, transposed ? kColumns : kExpertWarps);
  out.grid_y = static_cast<unsigned>(rows);
  out.threads = 256;
  out.shared_bytes = transposed ? static_cast<std::size_t>(32 * kColumns * 4) : 0;
  return out;
}

/// Rows of a pass: whole tiles' worth, and no more than y of a grid counts.
constexpr std::int64_t rows_of_pass(std::int64_t rows, std::int64_t top_k, std::int64_t size, std::int64_t width) {
  const std::int64_t of_row = std::max<std::int64_t>(1, top_k * (size + width) * 4);
  return std::min(rows, std::clamp<std::int64_t>(kExpertScratchBytes / of_row / kExpertTile * kExpertTile, kExpertTile, 32768));
}

/// The most tiles that `slots` can need: every expert may have one that is not full.
constexpr std::int64_t most_tiles(std::int64_t slots, std::int64_t experts) { return slots / kExpertTile + std::min(slots, experts); }

/// x: outputs, y: tiles of slots.
inline LaunchShape expert_tile_shape(std::int64_t tiles, std::int64_t outs, bool pairs) {
  LaunchShape out;
  out.grid_x = parts_of(outs, pairs ? kExpertTile / 2 : kExpertTile);
  out.grid_y = static_cast<unsigned>(tiles);
  out.threads = 128;
  out.shared_bytes = static_cast<std::size_t>(2 * kExpertTile * (kExpertDepth + 4) * 4);
  return out;
}

}  // namespace bigmodel::ops
