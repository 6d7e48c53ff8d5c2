// SPDX-License-Identifier: Apache-2.0
// KernelOps' norms: a block per row, float32 sums in an order of the row's size alone.
#pragma once

#include "bigmodel/core/error.h"
#include "bigmodel/ops/cuda/kernel_ops.h"
#include "bigmodel/ops/cuda/launch_shapes.h"
#include "bigmodel/ops/cuda/stored_elements.cuh"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {

struct NormWork {
  const float* x = nullptr;
  const float* delta = nullptr;   ///< with it: sum = x + scale * delta is normed
  float scale = 1;
  float* sum = nullptr;           ///< may be x
  float* y = nullptr;             ///< may be x, or sum's like
  std::int64_t rows = 0, size = 0;
  bool centred = false;           ///< layer norm
  StoredValues weight, bias;      ///< [groups, size]
  std::int64_t groups = 1;
  float eps = 0, offset = 0;
};

/// The sum over the block's threads, for each of them. `parts` has room for 32; nobody uses it when this is called.
__device__ __forceinline__ float block_sum(float v, float* parts) {
  v = warp_sum(v);
  const unsigned warps = blockDim.x / 32;
  if (warps == 1) return v;
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  const float all = warp_sum(threadIdx.x % 32 < warps ? parts[threadIdx.x % 32] : 0.0F);
  __syncthreads();
  return all;
}

/// So many values of a row a thread keeps to itself; longer rows are read again.
inline constexpr int kHeldValues = 8;

/// One row that its threads hold: every load is on its way before the first sum is made.
__device__ __forceinline__ void norm_held_row(const NormWork& work, std::int64_t row, float* parts) {
  const std::int64_t start = row * work.size, of_weights = row % work.groups * work.size;
  float held[kHeldValues], weight[kHeldValues];
  BIGMODEL_UNROLL
  for (int k = 0; k < kHeldValues; ++k) {
    const std::int64_t i = threadIdx.x + k * static_cast<std::int64_t>(blockDim.x);
    held[k] = i < work.size ? work.x[start + i] : 0.0F;
  }
  if (work.delta != nullptr) {
    BIGMODEL_UNROLL
    for (int k = 0; k < kHeldValues; ++k) {
      const std::int64_t i = threadIdx.x + k * static_cast<std::int64_t>(blockDim.x);
      if (i < work.size) held[k] = fmaf(work.scale, work.delta[start + i], held[k]);
    }
  }
  if (work.weight.data != nullptr) {
    BIGMODEL_UNROLL
    for (int k = 0; k < kHeldValues; ++k) {
      const std::int64_t i = threadIdx.x + k * static_cast<std::int64_t>(blockDim.x);
      weight[k] = i < work.size ? element_at(work.weight, of_weights + i) : 0.0F;
    }
  }
  float total = 0, mean = 0;
  BIGMODEL_UNROLL
  for (int k = 0; k < kHeldValues; ++k) total = work.centred ? total + held[k] : fmaf(held[k], held[k], total);
  const auto size = static_cast<float>(work.size);
  if (work.centred) {
    mean = block_sum(total, parts) / size;
    total = 0;
    BIGMODEL_UNROLL
    for (int k = 0; k < kHeldValues; ++k) {
      if (threadIdx.x + k * static_cast<std::int64_t>(blockDim.x) < work.size) total = fmaf(held[k] - mean, held[k] - mean, total);
    }
  }
  const float factor = 1.0F / sqrtf(block_sum(total, parts) / size + work.eps);
  BIGMODEL_UNROLL
  for (int k = 0; k < kHeldValues; ++k) {
    const std::int64_t i = threadIdx.x + k * static_cast<std::int64_t>(blockDim.x);
    if (i >= work.size) continue;
    if (work.delta != nullptr) work.sum[start + i] = held[k];
    float v = (held[k] - mean) * factor;
    if (work.weight.data != nullptr) v *= weight[k] + work.offset;
    if (work.bias.data != nullptr) v += element_at(work.bias, of_weights + i);
    work.y[start + i] = v;
  }
}

/// One row of any length. A thread reads back only what it wrote itself.
__device__ __forceinline__ void norm_long_row(const NormWork& work, std::int64_t row, float* parts) {
  const float* x = work.x + row * work.size;
  float total = 0, mean = 0;
  if (work.delta != nullptr) {
    const float* delta = work.delta + row * work.size;
    float* sum = work.sum + row * work.size;
    for (std::int64_t i = threadIdx.x; i < work.size; i += blockDim.x) sum[i] = fmaf(work.scale, delta[i], x[i]);
    x = sum;
  }
  for (std::int64_t i = threadIdx.x; i < work.size; i += blockDim.x) total = work.centred ? total + x[i] : fmaf(x[i], x[i], total);
  const auto size = static_cast<float>(work.size);
  if (work.centred) {
    mean = block_sum(total, parts) / size;
    total = 0;
    for (std::int64_t i = threadIdx.x; i < work.size; i += blockDim.x) total = fmaf(x[i] - mean, x[i] - mean, total);
  }
  const float factor = 1.0F / sqrtf(block_sum(total, parts) / size + work.eps);
  const std::int64_t of_weights = row % work.groups * work.size;
  float* y = work.y + row * work.size;
  for (std::int64_t i = threadIdx.x; i < work.size; i += blockDim.x) {
    float v = (x[i] - mean) * factor;
    if (work.weight.data != nullptr) v *= element_at(work.weight, of_weights + i) + work.offset;
    if (work.bias.data != nullptr) v += element_at(work.bias, of_weights + i);
    y[i] = v;
  }
}

/// A block per row and turn. In place is safe: each thread's elements are its own.
static __global__ void __launch_bounds__(1024) norm_kernel(const NormWork work) {
  __shared__ float parts[32];
  const bool held = work.size <= kHeldValues * static_cast<std::int64_t>(blockDim.x);
  for (std::int64_t row = blockIdx.x; row < work.rows; row += gridDim.x) {
    if (held) {
      norm_held_row(work, row, parts);
    } else {
      norm_long_row(work, row, parts);
    }
  }
}

namespace norm_launch {

inline NormWork work_of(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) {
  NormWork work{.x = x, .y = y, .rows = rows, .size = size, .centred = kind == NormKind::layer, .weight = stored(weights.weight), .bias = stored(weights.bias), .eps = weights.eps,
                .offset = weights.offset};
  for (const TensorView* t : {weights.weight, weights.bias}) {
    if (t == nullptr) continue;
    if (!is_weight_dtype(t->dtype)) throw_not_a_weight_dtype(t->dtype);
    const std::int64_t count = element_count(t->shape);
    BIGMODEL_ASSERT(size > 0 && count % size == 0);
    work.groups = count / size;
  }
  return work;
}

}  // namespace norm_launch

template <class Launcher>
void KernelOps<Launcher>::norm(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) const {
  const NormWork work = norm_launch::work_of(kind, x, rows, size, weights, y);
  if (rows != 0 && size != 0) launcher_.launch(&norm_kernel, row_shape(rows, size), work);
}

template <class Launcher>
void KernelOps<Launcher>::add_norm(NormKind kind, const float* x, const float* delta, float scale, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* sum,
                                   float* y) const {
  NormWork work = norm_launch::work_of(kind, x, rows, size, weights, y);
  work.delta = delta;
  work.scale = scale;
  work.sum = sum;
  if (rows != 0 && size != 0) launcher_.launch(&norm_kernel, row_shape(rows, size), work);
}

}  // namespace bigmodel::ops
