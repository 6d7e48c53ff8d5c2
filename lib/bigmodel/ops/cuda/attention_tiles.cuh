// SPDX-License-Identifier: Apache-2.0
// Attention of many queries: tiles of queries walk over tiles of keys, with the softmax brought up to date on the way.
#pragma once

#include "bigmodel/ops/cuda/attention_rules.cuh"
#include "bigmodel/ops/cuda/warp_mma.cuh"

namespace bigmodel::ops::kernels {

/// Which tile a block has.
struct AttentionTile {
  std::int64_t b, h, kv, first, queries;   ///< queries first .. first + queries - 1 of head h
  std::int64_t base;                       ///< first of the values
  std::int64_t from, end;                  ///< keys that any of them sees; from is a multiple of kTileKeys
  std::int64_t keys, first_query;

  __device__ AttentionTile(const AttentionWork& work, int of_tile) {
    const AttentionInput& in = work.in;
    b = blockIdx.z;
    h = blockIdx.y % in.heads;
    kv = h / (in.heads / in.kv_heads);
    base = blockIdx.y / in.heads * kTileValues;
    // The last queries see the most: they begin first.
    first = static_cast<std::int64_t>(gridDim.x - 1 - blockIdx.x) * of_tile;
    queries = min(static_cast<std::int64_t>(of_tile), in.queries - first);
    keys = work.keys();
    first_query = work.first_query();
    from = keys;
    end = 0;
    for (std::int64_t n = 0; n < queries; ++n) {
      const KeyRange range = visible(work.rule, first_query + first + n, keys);
      if (range.from < range.end) {
        from = min(from, range.from);
        end = max(end, range.end);
      }
    }
    from = from / kTileKeys * kTileKeys;
  }
};

/// In float32 throughout. 128 threads: a warp has 8 queries, in all steps.
template <class Row>
__global__ void __launch_bounds__(128) attend_tile(AttentionWork work) {
  constexpr int kStride = kFloatTileStep + 4;
  constexpr int kWeightStride = kTileKeys + 4;
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  float* const of_queries = shared;
  float* const of_keys = of_queries + kFloatTileQueries * kStride;
  float* const weights = of_keys + kTileKeys * kStride;
  const AttentionInput& in = work.in;
  const AttentionTile tile(work, kFloatTileQueries);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int first_row = thread / 32 * 8;
  const int column = thread % 16;
  const int row = thread / 16 * 4;
  const std::int64_t dim = in.head_dim;
  const std::int64_t width = in.value_dim;
  const Bytes* const k = reinterpret_cast<const Bytes*>(in.k) + (tile.b * in.kv_heads + tile.kv) * in.capacity * Row::bytes(dim);
  const Bytes* const v = reinterpret_cast<const Bytes*>(in.v) + (tile.b * in.kv_heads + tile.kv) * in.capacity * Row::bytes(width);

  float sums[8][4] = {};
  float tops[8];
  float totals[8] = {};
  BIGMODEL_UNROLL
  for (int i = 0; i < 8; ++i) tops[i] = never();
  for (std::int64_t key = tile.from; key < tile.end; key += kTileKeys) {
    float dots[4][4] = {};
    for (std::int64_t step = 0; step < dim; step += kFloatTileStep) {
      __syncthreads();
      {
        const std::int64_t query = tile.first + thread / 4;
        BIGMODEL_UNROLL
        for (int e = 0; e < kEight; ++e) {
          const std::int64_t d = step + thread % 4 * kEight + e;
          of_queries[thread / 4 * kStride + thread % 4 * kEight + e] =
              thread / 4 < tile.queries && d < dim ? in.q[((tile.b * in.queries + query) * in.heads + tile.h) * dim + d] : 0.0F;
        }
      }
      for (int n = thread; n < kTileKeys * 4; n += 128) {
        float piece[kEight] = {};
        if (key + n / 4 < tile.end) Row::load(k + (key + n / 4) * Row::bytes(dim), step + n % 4 * kEight, dim, work.aligned_keys, piece);
        BIGMODEL_UNROLL
        for (int e = 0; e < kEight; ++e) of_keys[n / 4 * kStride + n % 4 * kEight + e] = piece[e];
      }
      __syncthreads();
      BIGMODEL_UNROLL_BY(2)
      for (int d = 0; d < kFloatTileStep; d += 4) {
        float4 b[4];
        BIGMODEL_UNROLL
        for (int j = 0; j < 4; ++j) b[j] = *reinterpret_cast<const float4*>(of_keys + (column + 16 * j) * kStride + d);
        BIGMODEL_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float4 a = *reinterpret_cast<const float4*>(of_queries + (row + i) * kStride + d);
          BIGMODEL_UNROLL
          for (int j = 0; j < 4; ++j) dots[i][j] += (a.x * b[j].x + a.y * b[j].y) + (a.z * b[j].z + a.w * b[j].w);
        }
      }
    }
    __syncwarp();
    BIGMODEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      BIGMODEL_UNROLL
      for (int j = 0; j < 4; ++j) weights[(row + i) * kWeightStride + column + 16 * j] = dots[i][j];
    }
    __syncwarp();
    BIGMODEL_UNROLL
    for (int i = 0; i < 8; ++i) {
      if (first_row + i >= tile.queries) continue;
      const std::int64_t query = tile.first + first_row + i;
      const KeyRange range = visible(work.rule, tile.first_query + query, tile.keys);
      float* const of_row = weights + (first_row + i) * kWeightStride;
      const ScoreRow scores_of(work, tile.b, tile.h, query, key);
      float scores[2];
      BIGMODEL_UNROLL
      for (int n = 0; n < 2; ++n) {
        const std::int64_t at = key + lane + 32 * n;
        scores[n] = at >= range.from && at < range.end ? scores_of(work.rule, lane + 32 * n, of_row[lane + 32 * n]) : never();
      }
      const float top = fmaxf(tops[i], warp_largest(fmaxf(scores[0], scores[1])));
      const float old = weight_of(tops[i], top);
      const float weight[2] = {weight_of(scores[0], top), weight_of(scores[1], top)};
      of_row[lane] = weight[0];
      of_row[lane + 32] = weight[1];
      totals[i] = totals[i] * old + warp_sum(weight[0] + weight[1]);
      tops[i] = top;
      BIGMODEL_UNROLL
      for (int n = 0; n < 4; ++n) sums[i][n] *= old;
    }
    __syncwarp();
    const int there = static_cast<int>(min(static_cast<std::int64_t>(kTileKeys), tile.end - key));
    BIGMODEL_UNROLL_BY(2)
    for (int n = 0; n < there; ++n) {
      float values[4];
      BIGMODEL_UNROLL
      for (int c = 0; c < 4; ++c) {
        const std::int64_t d = tile.base + lane + 32 * c;
        values[c] = d < width ? Row::one(v + (key + n) * Row::bytes(width), d) : 0.0F;
      }
      BIGMODEL_UNROLL
      for (int i = 0; i < 8; ++i) {
        if (first_row + i >= tile.queries) continue;
        const float weight = weights[(first_row + i) * kWeightStride + n];
        BIGMODEL_UNROLL
        for (int c = 0; c < 4; ++c) sums[i][c] += weight * values[c];
      }
    }
  }
  BIGMODEL_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (first_row + i >= tile.queries) continue;
    const std::int64_t at = (tile.b * in.queries + tile.first + first_row + i) * in.heads + tile.h;
    const float sink = work.rule.sinks == nullptr ? never() : work.rule.sinks[tile.h];
    const float top = fmaxf(tops[i], sink);
    const float part = weight_of(tops[i], top);
    const float total = totals[i] * part + weight_of(sink, top);
    BIGMODEL_UNROLL
    for (int c = 0; c < 4; ++c) {
      const std::int64_t d = tile.base + lane + 32 * c;
      if (d < width) work.out[at * width + d] = tops[i] == never() ? blind_value<Row>(work, tile.b, tile.h, tile.keys, d) : sums[i][c] * part / total;
    }
  }
}

/// Up to 128 elements of 64 rows of 16-bit elements, from element `step` on, zeros beyond the rows and elements there are. 128 threads.
__device__ __forceinline__ void stage_rows(const std::uint16_t* rows, int there, int step, int dim, bool aligned, std::uint16_t* to) {
  constexpr int kStride = kMmaTileStep + 8;
  if (aligned) {
    const int d = static_cast<int>(threadIdx.x) % 16 * kEight;
    const std::uint16_t* from = rows + step + d;
    BIGMODEL_UNROLL
    for (int n = 0; n < kTileKeys / 8; ++n) {
      const int row = static_cast<int>(threadIdx.x) / 16 + n * 8;
      uint4 words = make_uint4(0, 0, 0, 0);
      if (row < there && step + d < dim) words = load_words(from + static_cast<std::int64_t>(row) * dim);
      *reinterpret_cast<uint4*>(to + row * kStride + d) = words;
    }
    return;
  }
  for (int n = static_cast<int>(threadIdx.x); n < kTileKeys * kMmaTileStep; n += 128) {
    const int row = n / kMmaTileStep;
    const int d = n % kMmaTileStep;
    to[row * kStride + d] = row < there && step + d < dim ? rows[static_cast<std::int64_t>(row) * dim + step + d] : std::uint16_t{0};
  }
}

template <class Value>
__device__ __forceinline__ unsigned pair_of(float low, float high) {
  return static_cast<unsigned>(Value::narrow(low)) | static_cast<unsigned>(Value::narrow(high)) << 16;
}

/// On tensor cores: products of q, k, weights and v in the cache's 16 bits, scores, softmax and sums in float32. Four warps of 16 queries.
template <class Value>
__global__ void __launch_bounds__(128) attend_tile_mma(AttentionWork work) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  // Never launched: KernelOps looks at the card first.
  __trap();
#else
  using Row = HalfRow<Value>;
  constexpr bool kBFloat16 = Value::kType == DType::bfloat16;
  constexpr int kStride = kMmaTileStep + 8;
  BIGMODEL_DYNAMIC_SHARED(std::uint16_t, shared);
  std::uint16_t* const of_queries = shared;
  std::uint16_t* const of_keys = shared + kMmaTileQueries * kStride;   // and values, by turns
  const AttentionInput& in = work.in;
  const AttentionTile tile(work, kMmaTileQueries);
  const int thread = static_cast<int>(threadIdx.x);
  const int g = thread % 32 / 4;
  const int t = thread % 4;
  const int row = thread / 32 * 16 + g;   // and row + 8
  const int dim = static_cast<int>(in.head_dim);
  const int width = static_cast<int>(in.value_dim);
  const auto* const k = reinterpret_cast<const std::uint16_t*>(in.k) + (tile.b * in.kv_heads + tile.kv) * in.capacity * dim;
  const auto* const v = reinterpret_cast<const std::uint16_t*>(in.v) + (tile.b * in.kv_heads + tile.kv) * in.capacity * width;
  const auto word = [](const std::uint16_t* at) { return *reinterpret_cast<const unsigned*>(at); };

  const auto stage_queries = [&](int step) {
    for (int n = thread; n < kMmaTileQueries * kMmaTileStep / 2; n += 128) {
      const int r = n / (kMmaTileStep / 2);
      const int d = step + n % (kMmaTileStep / 2) * 2;
      const float* from = in.q + ((tile.b * in.queries + tile.first + r) * in.heads + tile.h) * dim + d;
      const float low = r < tile.queries && d < dim ? from[0] : 0.0F;
      const float high = r < tile.queries && d + 1 < dim ? from[1] : 0.0F;
      *reinterpret_cast<unsigned*>(of_queries + r * kStride + n % (kMmaTileStep / 2) * 2) = pair_of<Value>(low, high);
    }
  };
  if (dim <= kMmaTileStep) stage_queries(0);

  KeyRange ranges[2] = {};
  BIGMODEL_UNROLL
  for (int i = 0; i < 2; ++i) {
    if (row + 8 * i < tile.queries) ranges[i] = visible(work.rule, tile.first_query + tile.first + row + 8 * i, tile.keys);
  }
  float sums[16][4] = {};
  float tops[2] = {never(), never()};
  float totals[2] = {};   // each lane's part
  for (std::int64_t key = tile.from; key < tile.end; key += kTileKeys) {
    const int there = static_cast<int>(min(static_cast<std::int64_t>(kTileKeys), tile.end - key));
    float scores[8][4] = {};
    for (int step = 0; step < dim; step += kMmaTileStep) {
      __syncthreads();
      if (dim > kMmaTileStep) stage_queries(step);
      stage_rows(k + key * dim, there, step, dim, work.aligned_keys, of_keys);
      __syncthreads();
      const int depth = min(kMmaTileStep, dim - step);
      BIGMODEL_UNROLL_BY(2)
      for (int d = 0; d < depth; d += 16) {
        const std::uint16_t* from = of_queries + row * kStride + d + 2 * t;
        const unsigned a[4] = {word(from), word(from + 8 * kStride), word(from + 8), word(from + 8 * kStride + 8)};
        BIGMODEL_UNROLL
        for (int j = 0; j < 8; ++j) {
          const std::uint16_t* of_key = of_keys + (j * 8 + g) * kStride + d + 2 * t;
          const unsigned b[2] = {word(of_key), word(of_key + 8)};
          mma_m16n8k16<kBFloat16>(scores[j], a, b);
        }
      }
    }
    __syncthreads();
    stage_rows(v + key * width, there, static_cast<int>(tile.base), width, work.aligned_values, of_keys);

    BIGMODEL_UNROLL
    for (int i = 0; i < 2; ++i) {
      float top = tops[i];
      // Of this tile's keys; the rest is the same for all of them.
      const int from = static_cast<int>(min(max(ranges[i].from - key, std::int64_t{0}), std::int64_t{kTileKeys}));
      const int end = static_cast<int>(min(max(ranges[i].end - key, std::int64_t{0}), std::int64_t{kTileKeys}));
      const ScoreRow of_row(work, tile.b, tile.h, tile.first + row + 8 * i, key);
      BIGMODEL_UNROLL
      for (int j = 0; j < 8; ++j) {
        BIGMODEL_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int at = j * 8 + 2 * t + c;
          float& score = scores[j][2 * i + c];
          score = at >= from && at < end ? of_row(work.rule, at, score) : never();
          top = fmaxf(top, score);
        }
      }
      top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFU, top, 1));
      top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFU, top, 2));
      const float old = weight_of(tops[i], top);
      tops[i] = top;
      float total = 0;
      BIGMODEL_UNROLL
      for (int j = 0; j < 8; ++j) {
        BIGMODEL_UNROLL
        for (int c = 0; c < 2; ++c) total += scores[j][2 * i + c] = weight_of(scores[j][2 * i + c], top);
      }
      totals[i] = totals[i] * old + total;
      BIGMODEL_UNROLL
      for (int n = 0; n < 16; ++n) {
        sums[n][2 * i] *= old;
        sums[n][2 * i + 1] *= old;
      }
    }
    __syncthreads();
    // Two products share a word of values: the columns of the one are its low elements, those of the other the high ones.
    BIGMODEL_UNROLL
    for (int step = 0; step < kTileKeys / 16; ++step) {
      const unsigned a[4] = {pair_of<Value>(scores[2 * step][0], scores[2 * step][1]), pair_of<Value>(scores[2 * step][2], scores[2 * step][3]),
                             pair_of<Value>(scores[2 * step + 1][0], scores[2 * step + 1][1]), pair_of<Value>(scores[2 * step + 1][2], scores[2 * step + 1][3])};
      BIGMODEL_UNROLL
      for (int u = 0; u < 8; ++u) {
        const std::uint16_t* from = of_keys + (step * 16 + 2 * t) * kStride + u * 16 + 2 * g;
        const unsigned near[2] = {word(from), word(from + kStride)};
        const unsigned far[2] = {word(from + 8 * kStride), word(from + 9 * kStride)};
        const unsigned low[2] = {__byte_perm(near[0], near[1], 0x5410), __byte_perm(far[0], far[1], 0x5410)};
        const unsigned high[2] = {__byte_perm(near[0], near[1], 0x7632), __byte_perm(far[0], far[1], 0x7632)};
        mma_m16n8k16<kBFloat16>(sums[2 * u], a, low);
        mma_m16n8k16<kBFloat16>(sums[2 * u + 1], a, high);
      }
    }
  }
  BIGMODEL_UNROLL
  for (int i = 0; i < 2; ++i) {
    float total = totals[i];
    total += __shfl_xor_sync(0xFFFFFFFFU, total, 1);
    total += __shfl_xor_sync(0xFFFFFFFFU, total, 2);
    if (row + 8 * i >= tile.queries) continue;
    const float sink = work.rule.sinks == nullptr ? never() : work.rule.sinks[tile.h];
    const float top = fmaxf(tops[i], sink);
    const float part = weight_of(tops[i], top);
    total = total * part + weight_of(sink, top);
    float* const to = work.out + ((tile.b * in.queries + tile.first + row + 8 * i) * in.heads + tile.h) * width;
    BIGMODEL_UNROLL
    for (int u = 0; u < 8; ++u) {
      const float values[4] = {sums[2 * u][2 * i], sums[2 * u + 1][2 * i], sums[2 * u][2 * i + 1], sums[2 * u + 1][2 * i + 1]};
      BIGMODEL_UNROLL
      for (int n = 0; n < 4; ++n) {
        const int d = static_cast<int>(tile.base) + u * 16 + 4 * t + n;
        if (d < width) to[d] = tops[i] == never() ? blind_value<Row>(work, tile.b, tile.h, tile.keys, d) : values[n] * part / total;
      }
    }
  }
#endif
}

}  // namespace bigmodel::ops::kernels
