// SPDX-License-Identifier: Apache-2.0
// Experts of a few rows (decoding): each slot reads its expert's matrices once, straight from the ids on the device.
#pragma once

#include "bigmodel/ops/cuda/moe_work.cuh"

namespace bigmodel::ops::kernels {

/// sums[n] += this lane's part of the dot product of rows[n] and x[n].
template <class Row, int kCount>
__device__ __forceinline__ void add_dots(const Bytes* const (&rows)[kCount], const float* const (&x)[kCount], int size, bool whole, bool aligned_x, float (&sums)[kCount]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (whole && aligned_x) {
    BIGMODEL_UNROLL_BY(2)
    for (int i = lane * kEight; i < size; i += 32 * kEight) {
      float w[kCount][kEight];
      BIGMODEL_UNROLL
      for (int n = 0; n < kCount; ++n) Row::whole(rows[n], i, w[n]);
      BIGMODEL_UNROLL
      for (int n = 0; n < kCount; ++n) {
        float v[kEight];
        F32Row::whole(reinterpret_cast<const Bytes*>(x[n]), i, v);
        BIGMODEL_UNROLL
        for (int e = 0; e < kEight; ++e) sums[n] += w[n][e] * v[e];
      }
    }
    return;
  }
  for (int i = lane * kEight; i < size; i += 32 * kEight) {
    for (int n = 0; n < kCount; ++n) {
      float w[kEight];
      Row::load(rows[n], i, size, whole, w);
      for (int e = 0; e < min(kEight, size - i); ++e) sums[n] += w[e] * x[n][i + e];
    }
  }
}

/// gate, up and what joins them: a warp has kUpOuts outputs of one slot.
template <class Row>
__global__ void __launch_bounds__(256) experts_up(ExpertWork work) {
  const std::int64_t slot = blockIdx.y;
  const std::int64_t expert = work.ids[slot];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * kExpertWarps + warp) * kUpOuts;
  if (first >= work.width) return;
  const std::int64_t row_bytes = Row::bytes(work.size);
  const Bytes* const matrix = work.gate_up + expert * work.parts() * work.width * row_bytes;
  const float* const x = work.x + slot / work.top_k * work.size;
  const bool whole = work.aligned_up;
  // The last warp may have fewer outputs: it computes one of them again.
  std::int64_t outs[kUpOuts];
  BIGMODEL_UNROLL
  for (int n = 0; n < kUpOuts; ++n) outs[n] = min(first + n, work.width - 1);
  float sums[2 * kUpOuts] = {};
  if (work.how.plain) {
    const Bytes* rows[kUpOuts];
    const float* of_x[kUpOuts];
    float plain[kUpOuts] = {};
    BIGMODEL_UNROLL
    for (int n = 0; n < kUpOuts; ++n) {
      rows[n] = matrix + outs[n] * row_bytes;
      of_x[n] = x;
    }
    add_dots<Row>(rows, of_x, static_cast<int>(work.size), whole, work.aligned_x, plain);
    BIGMODEL_UNROLL
    for (int n = 0; n < kUpOuts; ++n) sums[2 * n] = plain[n];
  } else {
    const Bytes* rows[2 * kUpOuts];
    const float* of_x[2 * kUpOuts];
    BIGMODEL_UNROLL
    for (int n = 0; n < kUpOuts; ++n) {
      rows[2 * n] = matrix + work.gate(outs[n]) * row_bytes;
      rows[2 * n + 1] = matrix + work.up(outs[n]) * row_bytes;
      of_x[2 * n] = of_x[2 * n + 1] = x;
    }
    add_dots<Row>(rows, of_x, static_cast<int>(work.size), whole, work.aligned_x, sums);
  }
  BIGMODEL_UNROLL
  for (int n = 0; n < 2 * kUpOuts; ++n) sums[n] = warp_sum(sums[n]);
  // Lane n ends output n: its sums are in every lane.
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float of_gate = sums[0];
  float of_up = sums[1];
  BIGMODEL_UNROLL
  for (int n = 1; n < kUpOuts; ++n) {
    if (lane == n) {
      of_gate = sums[2 * n];
      of_up = sums[2 * n + 1];
    }
  }
  if (lane < kUpOuts && first + lane < work.width) work.hidden[slot * work.width + first + lane] = work.combined(expert, first + lane, of_gate, of_up);
}

__device__ __forceinline__ float ended(const ExpertWork& work, std::int64_t at, float sum) {
  return work.residual == nullptr ? work.scale * sum : work.residual[at] + work.scale * sum;
}

/// down and the weighted sum over a row's experts, in their order: a warp has one output of one row, four experts at a time.
template <class Row>
__global__ void __launch_bounds__(256) experts_down(ExpertWork work) {
  constexpr int kAtOnce = 4;
  const std::int64_t row = blockIdx.y;
  const std::int64_t out = static_cast<std::int64_t>(blockIdx.x) * kExpertWarps + static_cast<int>(threadIdx.x) / 32;
  if (out >= work.size) return;
  const std::int64_t row_bytes = Row::bytes(work.width);
  const int top_k = static_cast<int>(work.top_k);
  float total = 0;
  float of_biases = 0;
  for (int first = 0; first < top_k; first += kAtOnce) {
    const Bytes* rows[kAtOnce];
    const float* hidden[kAtOnce];
    float weights[kAtOnce];
    BIGMODEL_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      // Behind the last expert: it once more, and it counts nothing.
      const std::int64_t slot = row * top_k + min(first + n, top_k - 1);
      const std::int64_t expert = work.ids[slot];
      rows[n] = work.down + (expert * work.size + out) * row_bytes;
      hidden[n] = work.hidden + slot * work.width;
      weights[n] = first + n < top_k ? work.weights[slot] : 0.0F;
      if (work.down_bias.data != nullptr) of_biases += weights[n] * work.down_bias[expert * work.size + out];
    }
    float sums[kAtOnce] = {};
    add_dots<Row>(rows, hidden, static_cast<int>(work.width), work.aligned_down, work.aligned_hidden, sums);
    BIGMODEL_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      if (first + n < top_k) total += weights[n] * sums[n];
    }
  }
  total = warp_sum(total) + of_biases;
  if (threadIdx.x % 32 == 0) work.y[row * work.size + out] = ended(work, row * work.size + out, total);
}

/// Sums of the 64 columns of a block over the lines of a matrix [lines, columns]: thread t has piece t % 8 of eight columns, and every 32nd line.
/// Column 8 p + e ends in to[8 p + e]. `piece_at`: the first column of the thread's piece; `limit`: columns from there on are not its own.
template <class Row>
__device__ __forceinline__ void add_columns(const Bytes* matrix, std::int64_t lines, std::int64_t columns, std::int64_t piece_at, std::int64_t limit, bool aligned,
                                            const float* x, float weight, float (&sums)[kEight]) {
  const std::int64_t row_bytes = Row::bytes(columns);
  float part[kEight] = {};
  BIGMODEL_UNROLL_BY(4)
  for (std::int64_t i = threadIdx.x / 8; i < lines; i += 32) {
    float w[kEight];
    Row::load(matrix + i * row_bytes, piece_at, limit, aligned, w);
    BIGMODEL_UNROLL
    for (int e = 0; e < kEight; ++e) part[e] += w[e] * x[i];
  }
  BIGMODEL_UNROLL
  for (int e = 0; e < kEight; ++e) sums[e] += weight * part[e];
}

/// The sum of column `threadIdx.x` for the first 64 threads. All threads call.
__device__ __forceinline__ float join_columns(float* shared, const float (&sums)[kEight]) {
  const int piece = static_cast<int>(threadIdx.x) % 8;
  const int line = static_cast<int>(threadIdx.x) / 8;
  BIGMODEL_UNROLL
  for (int e = 0; e < kEight; ++e) shared[line * kColumns + piece * kEight + e] = sums[e];
  __syncthreads();
  float sum = 0;
  if (threadIdx.x < kColumns) {
    for (int n = 0; n < 32; ++n) sum += shared[n * kColumns + static_cast<int>(threadIdx.x)];
  }
  __syncthreads();
  return sum;
}

/// gate, up and what joins them, of matrices [size, parts * width].
template <class Row>
__global__ void __launch_bounds__(256) experts_up_columns(ExpertWork work) {
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const std::int64_t slot = blockIdx.y;
  const std::int64_t expert = work.ids[slot];
  const std::int64_t columns = work.parts() * work.width;
  const int piece = static_cast<int>(threadIdx.x) % 8;
  // 64 neighbours, or 32 columns of the gate and the 32 of up that go with them.
  const bool apart = !work.how.plain && !work.interleaved;
  std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kColumns + piece * kEight;
  std::int64_t limit = columns;
  if (apart) {
    const std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * (kColumns / 2) + piece % 4 * kEight;
    at = piece < 4 ? j : work.width + j;
    limit = piece < 4 ? work.width : columns;
  }
  float sums[kEight] = {};
  add_columns<Row>(work.gate_up + expert * work.size * Row::bytes(columns), work.size, columns, at, limit, work.aligned_up,
                   work.x + slot / work.top_k * work.size, 1.0F, sums);
  const float sum = join_columns(shared, sums);
  if (threadIdx.x < kColumns) shared[threadIdx.x] = sum;
  __syncthreads();
  const int outs = work.how.plain ? kColumns : kColumns / 2;
  const int n = static_cast<int>(threadIdx.x);
  const std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * outs + n;
  if (n >= outs || j >= work.width) return;
  const float of_gate = shared[work.interleaved && !work.how.plain ? 2 * n : n];
  const float of_up = work.how.plain ? 0.0F : shared[work.interleaved ? 2 * n + 1 : kColumns / 2 + n];
  work.hidden[slot * work.width + j] = work.combined(expert, j, of_gate, of_up);
}

/// down and the weighted sum over a row's experts, of matrices [width, size].
template <class Row>
__global__ void __launch_bounds__(256) experts_down_columns(ExpertWork work) {
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const std::int64_t row = blockIdx.y;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kColumns + static_cast<int>(threadIdx.x) % 8 * kEight;
  float sums[kEight] = {};
  for (std::int64_t slot = row * work.top_k; slot < (row + 1) * work.top_k; ++slot) {
    add_columns<Row>(work.down + work.ids[slot] * work.width * Row::bytes(work.size), work.width, work.size, at, work.size, work.aligned_down,
                     work.hidden + slot * work.width, work.weights[slot], sums);
  }
  float sum = join_columns(shared, sums);
  const std::int64_t out = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  if (threadIdx.x >= kColumns || out >= work.size) return;
  if (work.down_bias.data != nullptr) {
    for (std::int64_t slot = row * work.top_k; slot < (row + 1) * work.top_k; ++slot) sum += work.weights[slot] * work.down_bias[work.ids[slot] * work.size + out];
  }
  work.y[row * work.size + out] = ended(work, row * work.size + out, sum);
}

}  // namespace bigmodel::ops::kernels
