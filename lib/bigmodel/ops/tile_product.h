// SPDX-License-Identifier: Apache-2.0
// Matrix products of bfloat16 on tile registers (AMX), for many rows at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "bigmodel/device/cpu/cpu_context.h"

namespace bigmodel::ops {

/// So many rows make tiles worth their packing.
inline constexpr std::int64_t kRowsOfTiles = 16;

/// Whether this build has tile products and the processor may run them: they go with CpuIsa::avx512_bf16, as further instructions for the same products.
/// The first call asks the system for the tile registers. Thread-safe.
bool has_tile_products(CpuIsa isa);

/// A tile register's content: 16 rows of 16 pairs of bfloat16.
struct alignas(64) Tile {
  std::uint32_t pairs[16][16];
};

/// Activations as products want them: tile [b][s] holds in row p the pair p of the 32 elements from 32 s on of 16 rows from 16 b on.
/// The number of blocks is even; what is beyond `rows` and `in` is zero.
class TiledRows {
 public:
  /// x [rows, in] in bfloat16.
  TiledRows(const CpuContext& cpu, const std::uint16_t* x, std::int64_t rows, std::int64_t in);

  const Tile* block(std::int64_t b) const { return tiles_.get() + b * steps_; }
  std::int64_t blocks() const noexcept { return blocks_; }
  std::int64_t steps() const noexcept { return steps_; }
  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t in() const noexcept { return in_; }

 private:
  std::int64_t rows_, in_, blocks_, steps_;
  std::unique_ptr<Tile[]> tiles_;
};

/// How many outputs tile_panel should take at once.
std::int64_t panel_of_tiles(std::int64_t in);

/// y[r * out + o] = the sum over i of x[r, i] * w[o, i] for all rows and o in [begin, end); w [out, in] in bfloat16. Sums are float32, in one order
/// whatever the rows and the panel are. One thread.
void tile_panel(const TiledRows& x, const std::uint16_t* w, std::int64_t begin, std::int64_t end, std::int64_t out, float* y);

}  // namespace bigmodel::ops
