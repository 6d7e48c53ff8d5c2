// SPDX-License-Identifier: Apache-2.0
// How attention is cut into blocks of threads: pure functions of the sizes, so that a CPU can test them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::ops {

/// Keys that one block of a few queries takes. One size for all calls: a row's sums must not change with the keys that there is room for.
inline constexpr int kSplitKeys = 128;
/// Rows (pairs of a query and one of the heads that share keys) that such a block takes at most: each load of keys and values serves all of them.
inline constexpr int kSplitRows = 8;
/// Up to so many queries are "a few".
inline constexpr std::int64_t kFewQueries = 8;
/// Longer heads are refused: their queries would not fit the block's memory.
inline constexpr std::int64_t kLongestHead = 1024;

/// Of many queries: queries and keys of a tile, elements of a head that lie in shared memory at a time, and the values of a row that a block sums.
inline constexpr int kTileKeys = 64;
inline constexpr int kTileValues = 128;
inline constexpr int kFloatTileQueries = 32;
inline constexpr int kFloatTileStep = 32;
inline constexpr int kMmaTileQueries = 64;
inline constexpr int kMmaTileStep = 128;

/// Splits that hold `keys` keys.
constexpr std::int64_t splits_of(std::int64_t keys) { return (keys + kSplitKeys - 1) / kSplitKeys; }

/// Rows of a block that a kernel is compiled for: the smallest of 1, 4 and 8 that holds `rows`, else 8.
constexpr int split_rows(std::int64_t rows) { return rows <= 1 ? 1 : rows <= 4 ? 4 : kSplitRows; }

/// So many queries are worth tensor cores, which round queries and weights of values to 16 bits.
inline constexpr std::int64_t kFewestMmaQueries = 32;

constexpr bool is_for_few_queries(const AttentionInput& in) { return in.queries <= kFewQueries; }

/// Of one split: x: splits, y: kv_heads * groups of rows, z: batch.
inline LaunchShape split_shape(const AttentionInput& in) {
  const std::int64_t rows = in.queries * (in.heads / in.kv_heads);
  const std::int64_t of_block = split_rows(rows);
  LaunchShape out;
  out.grid_x = static_cast<unsigned>(splits_of(in.keys));
  out.grid_y = static_cast<unsigned>(in.kv_heads * ((rows + of_block - 1) / of_block));
  out.grid_z = static_cast<unsigned>(in.batch);
  out.threads = kSplitKeys;
  const std::int64_t padded = (in.head_dim + 7) / 8 * 8;
  // Queries, then weights, then (in the queries' place) sums of values that threads exchange.
  const std::int64_t first = of_block * padded > kSplitKeys * 8 ? of_block * padded : kSplitKeys * 8;
  out.shared_bytes = static_cast<std::size_t>((first + of_block * kSplitKeys) * 4);
  return out;
}

/// Floats that splits leave behind: of each row and split the sums of values, the largest score and the total weight.
constexpr std::int64_t split_floats(const AttentionInput& in) { return in.batch * in.queries * in.heads * splits_of(in.keys) * (in.value_dim + 2); }

/// Joins the splits: x: rows, y: pieces of 128 values, z: batch. Eight warps, the n-th of which takes splits n, n + 8 ...
inline LaunchShape join_shape(const AttentionInput& in) {
  LaunchShape out;
  out.grid_x = static_cast<unsigned>(in.queries * in.heads);
  out.grid_y = static_cast<unsigned>((in.value_dim + 127) / 128);
  out.grid_z = static_cast<unsigned>(in.batch);
  out.threads = 256;
  out.shared_bytes = 8 * 129 * 4;
  return out;
}

/// Tiles of many queries: x: tiles of queries, y: heads * pieces of values, z: batch.
inline LaunchShape tile_shape(const AttentionInput& in, bool mma) {
  const std::int64_t queries = mma ? kMmaTileQueries : kFloatTileQueries;
  LaunchShape out;
  out.grid_x = static_cast<unsigned>((in.queries + queries - 1) / queries);
  out.grid_y = static_cast<unsigned>(in.heads * ((in.value_dim + kTileValues - 1) / kTileValues));
  out.grid_z = static_cast<unsigned>(in.batch);
  out.threads = 128;
  out.shared_bytes = mma ? static_cast<std::size_t>((kMmaTileQueries + kTileKeys) * (kMmaTileStep + 8) * 2)
                         : static_cast<std::size_t>((kFloatTileQueries + kTileKeys) * (kFloatTileStep + 4) + kFloatTileQueries * (kTileKeys + 4) + 3 * kFloatTileQueries) * 4;
  return out;
}

}  // namespace bigmodel::ops
