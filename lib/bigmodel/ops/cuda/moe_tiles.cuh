// SPDX-License-Identifier: Apache-2.0
// Experts of many rows: slots are sorted by expert, in their own order within each, and every expert multiplies tiles of its slots.
#pragma once

#include "bigmodel/ops/cuda/moe_few.cuh"
#include "bigmodel/ops/cuda/warp_mma.cuh"

namespace bigmodel::ops::kernels {

/// What the sort finds, all on the device.
struct SortedSlots {
  int* slots;          ///< by expert
  int* first;          ///< [experts]: where an expert's begin
  int* count;          ///< [experts]
  int* tile_expert;    ///< [tiles]; -1: behind the last tile
  int* tile_first;     ///< [tiles], among the sorted slots
};

/// The sum over a block of 256, and of the threads before this one. All threads call.
__device__ inline int sum_before(int mine, int* shared, int& all) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  int sum = mine;
  BIGMODEL_UNROLL
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFFU, sum, static_cast<unsigned>(step));
    if (lane >= step) sum += other;
  }
  if (lane == 31) shared[warp] = sum;
  __syncthreads();
  int before = 0;
  all = 0;
  for (int n = 0; n < 8; ++n) {
    if (n < warp) before += shared[n];
    all += shared[n];
  }
  __syncthreads();
  return before + sum - mine;
}

/// A block for each expert: it finds its slots among all, in order, behind those of lower experts.
static __global__ void __launch_bounds__(256) sort_slots(const std::int64_t* ids, int slots, SortedSlots sorted) {
  BIGMODEL_DYNAMIC_SHARED(int, shared);
  constexpr int kOfThread = 8;
  const std::int64_t expert = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  int lower = 0;
  for (int n = thread; n < slots; n += 256) lower += ids[n] < expert ? 1 : 0;
  int first = 0;
  sum_before(lower, shared, first);
  int found = 0;
  for (int chunk = 0; chunk < slots; chunk += 256 * kOfThread) {
    int mine = 0;
    for (int n = 0; n < kOfThread; ++n) {
      const int slot = chunk + thread * kOfThread + n;
      if (slot < slots && ids[slot] == expert) ++mine;
    }
    int all = 0;
    int at = first + found + sum_before(mine, shared, all);
    for (int n = 0; n < kOfThread; ++n) {
      const int slot = chunk + thread * kOfThread + n;
      if (slot < slots && ids[slot] == expert) sorted.slots[at++] = slot;
    }
    found += all;
  }
  if (thread == 0) {
    sorted.first[expert] = first;
    sorted.count[expert] = found;
  }
}

/// One block: which tile is whose.
static __global__ void __launch_bounds__(256) plan_tiles(int experts, int tiles, SortedSlots sorted) {
  BIGMODEL_DYNAMIC_SHARED(int, shared);
  int done = 0;
  for (int chunk = 0; chunk < experts; chunk += 256) {
    const int expert = chunk + static_cast<int>(threadIdx.x);
    const int mine = expert < experts ? (sorted.count[expert] + kExpertTile - 1) / kExpertTile : 0;
    int all = 0;
    const int before = done + sum_before(mine, shared, all);
    for (int n = 0; n < mine; ++n) {
      sorted.tile_expert[before + n] = expert;
      sorted.tile_first[before + n] = sorted.first[expert] + n * kExpertTile;
    }
    done += all;
  }
  for (int n = done + static_cast<int>(threadIdx.x); n < tiles; n += 256) sorted.tile_expert[n] = -1;
}

/// Where eight neighbours of a tile go: as they are, or as pairs of bfloat16.
struct FloatStage {
  static constexpr int kStride = kExpertDepth + 4;
  float* at;
  __device__ void put(int line, int depth, float value) const { at[line * kStride + depth] = value; }
};
struct PairStage {
  static constexpr int kStride = kExpertDepth + 8;
  std::uint16_t* at;
  __device__ void put(int line, int depth, float value) const { at[line * kStride + depth] = float_to_bf16(value); }
};

/// The rows of a tile's matrices: local row n of 64. Up: of a gated pair, n < 32 are gates of the outputs from `base` on, the others what goes with them.
struct TileRows {
  std::int64_t base, outs;
  bool pairs, up;
  __device__ std::int64_t output(int n) const { return base + (pairs ? n % (kExpertTile / 2) : n); }
  __device__ std::int64_t row(const ExpertWork& work, int n) const {
    if (!up) return output(n);
    return pairs && n >= kExpertTile / 2 ? work.up(output(n)) : work.gate(output(n));
  }
};

/// Elements depth .. depth + 31 of the 64 rows of a matrix. 128 threads.
template <class Row, class Stage>
__device__ __forceinline__ void stage_matrix(const ExpertWork& work, const TileRows& tile, const Bytes* matrix, std::int64_t in, std::int64_t depth, bool aligned,
                                             const Stage& stage) {
  const int thread = static_cast<int>(threadIdx.x);
  if (!work.transposed) {
    const std::int64_t row_bytes = Row::bytes(in);
    for (int n = thread; n < kExpertTile * 4; n += 128) {
      float v[kEight] = {};
      if (tile.output(n / 4) < tile.outs) Row::load(matrix + tile.row(work, n / 4) * row_bytes, depth + n % 4 * kEight, in, aligned, v);
      BIGMODEL_UNROLL
      for (int e = 0; e < kEight; ++e) stage.put(n / 4, n % 4 * kEight + e, v[e]);
    }
    return;
  }
  // [in, columns]: eight neighbouring columns of one line, which are rows of the tile.
  const std::int64_t columns = tile.up ? work.parts() * work.width : work.size;
  const std::int64_t row_bytes = Row::bytes(columns);
  const bool alternate = tile.pairs && work.interleaved;
  for (int n = thread; n < kExpertDepth * 8; n += 128) {
    const int piece = n % 8;
    std::int64_t at = tile.base + piece * kEight;
    std::int64_t limit = tile.outs;
    if (alternate) {
      at = 2 * tile.base + piece * kEight;
      limit = columns;
    } else if (tile.pairs) {
      at = tile.base + piece % 4 * kEight + (piece < 4 ? 0 : work.width);
      limit = piece < 4 ? work.width : columns;
    }
    float v[kEight] = {};
    if (depth + n / 8 < in) Row::load(matrix + (depth + n / 8) * row_bytes, at, limit, aligned, v);
    BIGMODEL_UNROLL
    for (int e = 0; e < kEight; ++e) {
      const int line = piece * kEight + e;
      stage.put(alternate ? line % 2 * (kExpertTile / 2) + line / 2 : line, n / 8, v[e]);
    }
  }
}

/// Elements depth .. depth + 31 of what the slots of a tile bring.
template <class Stage>
__device__ __forceinline__ void stage_slots(const float* from, std::int64_t in, const int* slots, int there, std::int64_t slots_of_row, std::int64_t depth, bool aligned,
                                            const Stage& stage) {
  for (int n = static_cast<int>(threadIdx.x); n < kExpertTile * 4; n += 128) {
    float v[kEight] = {};
    if (n / 4 < there) F32Row::load(reinterpret_cast<const Bytes*>(from + slots[n / 4] / slots_of_row * in), depth + n % 4 * kEight, in, aligned, v);
    BIGMODEL_UNROLL
    for (int e = 0; e < kEight; ++e) stage.put(n / 4, n % 4 * kEight + e, v[e]);
  }
}

/// A tile of slots with a tile of outputs of their expert: hidden of x (kUp), or products of hidden. kMma: both rounded to bfloat16.
template <class Row, bool kUp, bool kMma>
__global__ void __launch_bounds__(128) experts_tile(ExpertWork work, SortedSlots sorted) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  // Never launched so: KernelOps looks at the card first.
  if (kMma) __trap();
  if constexpr (!kMma) {
#endif
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const int expert = sorted.tile_expert[blockIdx.y];
  if (expert < 0) return;
  const int* const slots = sorted.slots + sorted.tile_first[blockIdx.y];
  const int there = min(kExpertTile, sorted.first[expert] + sorted.count[expert] - sorted.tile_first[blockIdx.y]);
  const bool pairs = kUp && !work.how.plain;
  const std::int64_t in = kUp ? work.size : work.width;
  const TileRows tile{static_cast<std::int64_t>(blockIdx.x) * (pairs ? kExpertTile / 2 : kExpertTile), kUp ? work.width : work.size, pairs, kUp};
  const Bytes* const matrix =
      kUp ? work.gate_up + expert * (work.transposed ? in * Row::bytes(work.parts() * work.width) : work.parts() * work.width * Row::bytes(in))
          : work.down + expert * (work.transposed ? in * Row::bytes(work.size) : work.size * Row::bytes(in));
  const bool aligned_matrix = kUp ? work.aligned_up : work.aligned_down;
  const float* const from = kUp ? work.x : work.hidden;
  const bool aligned_from = kUp ? work.aligned_x : work.aligned_hidden;
  const std::int64_t slots_of_row = kUp ? work.top_k : 1;
  const int thread = static_cast<int>(threadIdx.x);
  const auto end = [&](int line, int n, float sum, float of_up) {
    const std::int64_t out = tile.output(n);
    if (line >= there || out >= tile.outs) return;
    const std::int64_t slot = slots[line];
    if (kUp) {
      work.hidden[slot * work.width + out] = work.combined(expert, out, sum, of_up);
    } else {
      work.products[slot * work.size + out] = work.down_bias.data == nullptr ? sum : sum + work.down_bias[expert * work.size + out];
    }
  };
  if constexpr (kMma) {
    const PairStage of_slots{reinterpret_cast<std::uint16_t*>(shared)};
    const PairStage of_matrix{of_slots.at + kExpertTile * PairStage::kStride};
    const int g = thread % 32 / 4;
    const int t = thread % 4;
    const int line = thread / 32 * 16 + g;
    const auto word = [](const std::uint16_t* at) { return *reinterpret_cast<const unsigned*>(at); };
    float sums[8][4] = {};
    for (std::int64_t depth = 0; depth < in; depth += kExpertDepth) {
      __syncthreads();
      stage_slots(from, in, slots, there, slots_of_row, depth, aligned_from, of_slots);
      stage_matrix<Row>(work, tile, matrix, in, depth, aligned_matrix, of_matrix);
      __syncthreads();
      BIGMODEL_UNROLL
      for (int k = 0; k < kExpertDepth; k += 16) {
        const std::uint16_t* of_a = of_slots.at + line * PairStage::kStride + k + 2 * t;
        const unsigned a[4] = {word(of_a), word(of_a + 8 * PairStage::kStride), word(of_a + 8), word(of_a + 8 * PairStage::kStride + 8)};
        BIGMODEL_UNROLL
        for (int j = 0; j < 8; ++j) {
          const std::uint16_t* of_b = of_matrix.at + (j * 8 + g) * PairStage::kStride + k + 2 * t;
          const unsigned b[2] = {word(of_b), word(of_b + 8)};
          mma_m16n8k16<true>(sums[j], a, b);
        }
      }
    }
    BIGMODEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      BIGMODEL_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int n = j * 8 + 2 * t + i % 2;
        end(line + i / 2 * 8, n, sums[j][i], sums[j + 4][i]);
        if (!pairs) end(line + i / 2 * 8, n + kExpertTile / 2, sums[j + 4][i], 0);
      }
    }
  } else {
    const FloatStage of_slots{shared};
    const FloatStage of_matrix{shared + kExpertTile * FloatStage::kStride};
    const int column = thread % 16;
    const int line = thread / 16 * 8;
    float sums[8][4] = {};
    for (std::int64_t depth = 0; depth < in; depth += kExpertDepth) {
      __syncthreads();
      stage_slots(from, in, slots, there, slots_of_row, depth, aligned_from, of_slots);
      stage_matrix<Row>(work, tile, matrix, in, depth, aligned_matrix, of_matrix);
      __syncthreads();
      BIGMODEL_UNROLL_BY(1)
      for (int k = 0; k < kExpertDepth; k += 4) {
        float4 b[4];
        BIGMODEL_UNROLL
        for (int j = 0; j < 4; ++j) b[j] = *reinterpret_cast<const float4*>(of_matrix.at + (column + 16 * j) * FloatStage::kStride + k);
        BIGMODEL_UNROLL
        for (int i = 0; i < 8; ++i) {
          const float4 a = *reinterpret_cast<const float4*>(of_slots.at + (line + i) * FloatStage::kStride + k);
          BIGMODEL_UNROLL
          for (int j = 0; j < 4; ++j) sums[i][j] += (a.x * b[j].x + a.y * b[j].y) + (a.z * b[j].z + a.w * b[j].w);
        }
      }
    }
    BIGMODEL_UNROLL
    for (int i = 0; i < 8; ++i) {
      BIGMODEL_UNROLL
      for (int j = 0; j < 2; ++j) {
        end(line + i, column + 16 * j, sums[i][j], sums[i][j + 2]);
        if (!pairs) end(line + i, column + 16 * j + kExpertTile / 2, sums[i][j + 2], 0);
      }
    }
  }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  }
#endif
}

/// y from the products of a row's experts, in their order; an element for each thread.
static __global__ void __launch_bounds__(256) weigh_products(ExpertWork work, std::int64_t rows) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (n >= rows * work.size) return;
  const std::int64_t row = n / work.size;
  float sum = 0;
  for (std::int64_t slot = row * work.top_k; slot < (row + 1) * work.top_k; ++slot) sum += work.weights[slot] * work.products[slot * work.size + n % work.size];
  work.y[n] = ended(work, n, sum);
}

}  // namespace bigmodel::ops::kernels
