// SPDX-License-Identifier: Apache-2.0
// Attention of a few queries (decoding): keys are cut into splits of one size, a block each; a second kernel joins them in a fixed order.
#pragma once

#include "bigmodel/ops/cuda/attention_rules.cuh"

namespace bigmodel::ops::kernels {

/// Where splits leave their part: values [row, split, value_dim], then tops and totals [row, split].
struct SplitParts {
  float* values;
  float* tops;
  float* totals;
};

/// One split of keys for up to kRows rows of one kv head. Row r of a kv head is query r / group, head r % group of the group.
template <class Row, int kRows>
__global__ void __launch_bounds__(kSplitKeys) attend_split(AttentionWork work, SplitParts parts, std::int64_t most_splits) {
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const AttentionInput& in = work.in;
  const std::int64_t group = in.heads / in.kv_heads;
  const std::int64_t all_rows = in.queries * group;
  const std::int64_t row_blocks = (all_rows + kRows - 1) / kRows;
  const std::int64_t b = blockIdx.z;
  const std::int64_t kv = blockIdx.y / row_blocks;
  const std::int64_t first_row = blockIdx.y % row_blocks * kRows;
  const int rows = static_cast<int>(min(static_cast<std::int64_t>(kRows), all_rows - first_row));
  const std::int64_t split = blockIdx.x;
  const std::int64_t begin = split * kSplitKeys;
  const std::int64_t keys = work.keys();
  const std::int64_t first_query = work.first_query();
  const int thread = static_cast<int>(threadIdx.x);

  // The split's keys that any of the rows sees. The same for all threads: they leave together.
  std::int64_t from = keys;
  std::int64_t end = 0;
  for (std::int64_t query = first_row / group; query <= (first_row + rows - 1) / group; ++query) {
    const KeyRange range = visible(work.rule, first_query + query, keys);
    if (range.from < range.end) {
      from = min(from, range.from);
      end = max(end, range.end);
    }
  }
  from = max(from, begin);
  end = min(end, begin + kSplitKeys);
  if (from >= end) return;

  const int dim = static_cast<int>(in.head_dim);
  const int padded = (dim + kEight - 1) / kEight * kEight;
  float* const queries = shared;
  float* const weights = shared + max(kRows * padded, kSplitKeys * kEight);
  for (int n = thread; n < rows * padded; n += kSplitKeys) {
    const int d = n % padded;
    const std::int64_t row = first_row + n / padded;
    const std::int64_t head = kv * group + row % group;
    queries[n] = d < dim ? in.q[((b * in.queries + row / group) * in.heads + head) * dim + d] : 0.0F;
  }
  __syncthreads();

  // A key for each thread.
  const std::int64_t key = begin + thread;
  float dots[kRows] = {};
  if (key >= from && key < end) {
    const Bytes* at = reinterpret_cast<const Bytes*>(in.k) + ((b * in.kv_heads + kv) * in.capacity + key) * Row::bytes(dim);
    BIGMODEL_UNROLL_BY(4)
    for (int d = 0; d < padded; d += kEight) {
      float k[kEight];
      Row::load(at, d, dim, work.aligned_keys, k);
      BIGMODEL_UNROLL
      for (int r = 0; r < kRows; ++r) {
        if (r < rows) {
          const float4 low = *reinterpret_cast<const float4*>(queries + r * padded + d);
          const float4 high = *reinterpret_cast<const float4*>(queries + r * padded + d + 4);
          dots[r] += (low.x * k[0] + low.y * k[1] + low.z * k[2] + low.w * k[3]) + (high.x * k[4] + high.y * k[5] + high.z * k[6] + high.w * k[7]);
        }
      }
    }
  }
  BIGMODEL_UNROLL
  for (int r = 0; r < kRows; ++r) {
    if (r < rows) {
      const std::int64_t query = (first_row + r) / group;
      const KeyRange range = visible(work.rule, first_query + query, keys);
      const bool sees = key >= range.from && key < range.end;
      const ScoreRow scores(work, b, kv * group + (first_row + r) % group, query, begin);
      weights[r * kSplitKeys + thread] = sees ? scores(work.rule, thread, dots[r]) : never();
    }
  }
  __syncthreads();

  // The softmax of each row, a warp for each.
  const int lane = thread % 32;
  for (int r = thread / 32; r < rows; r += kSplitKeys / 32) {
    float* const of_row = weights + r * kSplitKeys;
    float top = never();
    for (int n = lane; n < kSplitKeys; n += 32) top = fmaxf(top, of_row[n]);
    top = warp_largest(top);
    float total = 0;
    for (int n = lane; n < kSplitKeys; n += 32) {
      const float weight = weight_of(of_row[n], top);
      of_row[n] = weight;
      total += weight;
    }
    total = warp_sum(total);
    if (lane == 0) {
      const std::int64_t row = first_row + r;
      const std::int64_t part = ((b * in.queries + row / group) * in.heads + kv * group + row % group) * most_splits + split;
      parts.tops[part] = top;
      parts.totals[part] = total;
    }
  }
  __syncthreads();

  // Values, eight elements of them for each thread: as many keys at a time as there are threads for.
  const int width = static_cast<int>(in.value_dim);
  const int pieces_there = (width + kEight - 1) / kEight;
  float* const exchange = shared;
  for (int first = 0; first < pieces_there; first += kSplitKeys) {
    const int pieces = min(kSplitKeys, pieces_there - first);
    const int at_once = kSplitKeys / pieces;
    const int piece = thread % pieces;
    const int lead = thread / pieces;
    const std::int64_t d = (first + piece) * kEight;
    float sums[kRows][kEight] = {};
    if (lead < at_once) {
      const Bytes* at = reinterpret_cast<const Bytes*>(in.v) + (b * in.kv_heads + kv) * in.capacity * Row::bytes(width);
      BIGMODEL_UNROLL_BY(4)
      for (int n = lead; n < kSplitKeys; n += at_once) {
        if (begin + n < from || begin + n >= end) continue;
        float v[kEight];
        Row::load(at + (begin + n) * Row::bytes(width), d, width, work.aligned_values, v);
        BIGMODEL_UNROLL
        for (int r = 0; r < kRows; ++r) {
          if (r < rows) {
            const float weight = weights[r * kSplitKeys + n];
            BIGMODEL_UNROLL
            for (int e = 0; e < kEight; ++e) sums[r][e] += weight * v[e];
          }
        }
      }
    }
    BIGMODEL_UNROLL
    for (int r = 0; r < kRows; ++r) {
      if (r < rows) {
        if (lead < at_once) {
          BIGMODEL_UNROLL
          for (int e = 0; e < kEight; ++e) exchange[(lead * pieces + piece) * kEight + e] = sums[r][e];
        }
        __syncthreads();
        const std::int64_t row = first_row + r;
        const std::int64_t part = ((b * in.queries + row / group) * in.heads + kv * group + row % group) * most_splits + split;
        for (int n = thread; n < pieces * kEight; n += kSplitKeys) {
          float sum = 0;
          for (int other = 0; other < at_once; ++other) sum += exchange[other * pieces * kEight + n];
          if (first * kEight + n < width) parts.values[part * width + first * kEight + n] = sum;
        }
        __syncthreads();
      }
    }
  }
}

/// 128 values of one row from its splits.
template <class Row>
__global__ void __launch_bounds__(256) join_splits(AttentionWork work, SplitParts parts, std::int64_t most_splits) {
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const AttentionInput& in = work.in;
  const std::int64_t b = blockIdx.z;
  const std::int64_t query = blockIdx.x / in.heads;
  const std::int64_t h = blockIdx.x % in.heads;
  const std::int64_t row = (b * in.queries + query) * in.heads + h;
  const std::int64_t keys = work.keys();
  const KeyRange range = visible(work.rule, work.first_query() + query, keys);
  const std::int64_t first = range.from / kSplitKeys;
  const std::int64_t end = range.from < range.end ? (range.end - 1) / kSplitKeys + 1 : first;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const float* tops = parts.tops + row * most_splits;
  const float* totals = parts.totals + row * most_splits;

  float top = never();
  for (std::int64_t s = first + lane; s < end; s += 32) top = fmaxf(top, tops[s]);
  top = warp_largest(top);
  const bool sees = top != never();
  const float sink = work.rule.sinks == nullptr ? never() : work.rule.sinks[h];
  top = fmaxf(top, sink);

  // By the split's number, not by where the row's first one is: the order of sums is the row's own.
  float sums[4] = {};
  float total = 0;
  const std::int64_t base = static_cast<std::int64_t>(blockIdx.y) * 128;
  if (sees) {
    for (std::int64_t s = first / 8 * 8 + warp; s < end; s += 8) {
      if (s < first) continue;
      const float weight = weight_of(tops[s], top);
      if (weight == 0) continue;
      total += weight * totals[s];
      const float* values = parts.values + (row * most_splits + s) * in.value_dim;
      BIGMODEL_UNROLL
      for (int n = 0; n < 4; ++n) {
        const std::int64_t d = base + n * 32 + lane;
        if (d < in.value_dim) sums[n] += weight * values[d];
      }
    }
  }
  float* const of_warp = shared + warp * 129;
  BIGMODEL_UNROLL
  for (int n = 0; n < 4; ++n) of_warp[n * 32 + lane] = sums[n];
  if (lane == 0) of_warp[128] = total;
  __syncthreads();
  if (threadIdx.x >= 128) return;
  const std::int64_t d = base + threadIdx.x;
  if (d >= in.value_dim) return;
  float sum = 0;
  float weight = weight_of(sink, top);
  for (int w = 0; w < 8; ++w) {
    sum += shared[w * 129 + static_cast<int>(threadIdx.x)];
    weight += shared[w * 129 + 128];
  }
  work.out[row * in.value_dim + d] = sees ? sum / weight : blind_value<Row>(work, b, h, keys, d);
}

}  // namespace bigmodel::ops::kernels
