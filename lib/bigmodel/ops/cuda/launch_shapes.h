// SPDX-License-Identifier: Apache-2.0
// How many blocks of how many threads do a piece of work. Pure functions: the kernels' loops cover what the grid leaves.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::ops {

/// What every card takes along y and z; along x it is 2^31 - 1.
inline constexpr std::int64_t kMostBlocksAcross = 65535;
inline constexpr std::int64_t kMostBlocks = 0x7FFFFFFF;

constexpr std::int64_t blocks_for(std::int64_t count, std::int64_t per_block) { return std::clamp<std::int64_t>(count / per_block + (count % per_block != 0 ? 1 : 0), 1, kMostBlocks); }

/// One element, or one small piece, per thread and turn. 256 threads; more than this many blocks gain nothing, threads take several turns instead.
constexpr LaunchShape element_shape(std::int64_t count) {
  constexpr std::int64_t kThreads = 256, kEnoughBlocks = 1 << 16;
  return {.grid_x = static_cast<unsigned>(std::min(blocks_for(count, kThreads), kEnoughBlocks)), .threads = kThreads};
}

/// One block per row and turn, with a thread for every four elements.
constexpr LaunchShape row_shape(std::int64_t rows, std::int64_t width, unsigned most_threads = 1024) {
  const std::int64_t wanted = (std::max<std::int64_t>(width, 1) + 127) / 128 * 32;
  return {.grid_x = static_cast<unsigned>(std::clamp<std::int64_t>(rows, 1, kMostBlocks)), .threads = static_cast<unsigned>(std::min<std::int64_t>(wanted, most_threads))};
}

inline constexpr unsigned kGemvWarps = 8;

/// How many of a block's 8 warps share an output of a product with few rows: enough that small matrices keep the card busy, so few that every
/// lane still has two pieces (8 elements) of its own. By the matrix alone: a row's sums do not depend on the rows beside it.
constexpr int gemv_split(std::int64_t outs, std::int64_t in, int processors) {
  constexpr std::int64_t kWarpsPerProcessor = 16;
  int split = 1;
  while (split < static_cast<int>(kGemvWarps) && outs / 2 * split < kWarpsPerProcessor * std::max(processors, 1) && in / 8 >= 32 * 2 * 2 * split) split *= 2;
  return split;
}

/// `groups` of outputs, each the work of `split` warps.
constexpr LaunchShape gemv_shape(std::int64_t groups, int split) {
  return {.grid_x = static_cast<unsigned>(blocks_for(groups, static_cast<std::int64_t>(kGemvWarps) / split)), .threads = kGemvWarps * 32};
}

/// Tiles of `tile` outputs along x, of `tile` rows along y, where more rows than the grid can count take further turns.
constexpr LaunchShape tile_shape(std::int64_t rows, std::int64_t outs, std::int64_t tile, unsigned threads) {
  return {.grid_x = static_cast<unsigned>(blocks_for(outs, tile)), .grid_y = static_cast<unsigned>(std::min(blocks_for(rows, tile), kMostBlocksAcross)), .threads = threads};
}

}  // namespace bigmodel::ops
