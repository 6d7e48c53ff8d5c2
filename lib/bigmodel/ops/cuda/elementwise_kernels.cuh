// SPDX-License-Identifier: Apache-2.0
// KernelOps' element by element operations, moves, and the choice of tokens.
#pragma once

#include "bigmodel/core/error.h"
#include "bigmodel/ops/activation_formulas.h"
#include "bigmodel/ops/cuda/kernel_ops.h"
#include "bigmodel/ops/cuda/launch_shapes.h"
#include "bigmodel/ops/cuda/stored_elements.cuh"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {

/// Calls f(i) for this thread's share of 0 .. count - 1.
template <class F>
__device__ __forceinline__ void for_each_element(std::int64_t count, F f) {
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) f(i);
}

static __global__ void activate_kernel(Activation act, float* x, std::int64_t count) {
  for_each_element(count, [&](std::int64_t i) { x[i] = activation_of(act, x[i]); });
}

static __global__ void activate_times_kernel(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows,
                                             std::int64_t width, float* y, std::int64_t y_stride) {
  for_each_element(rows * width, [&](std::int64_t i) {
    const std::int64_t r = i / width, c = i % width;
    y[r * y_stride + c] = activation_of(act, gate[r * gate_stride + c]) * times[r * times_stride + c];
  });
}

/// What is done to each element of one array.
enum class ArrayWork : std::uint8_t { add_scaled, multiply, scale, clamp, soft_cap, fill };

/// a, with b (add_scaled, multiply) and a number (the scale, factor, limit, cap or value).
static __global__ void array_kernel(ArrayWork what, float* a, const float* b, float number, std::int64_t count) {
  for_each_element(count, [&](std::int64_t i) {
    switch (what) {
      case ArrayWork::add_scaled: a[i] = fmaf(number, b[i], a[i]); return;
      case ArrayWork::multiply: a[i] *= b[i]; return;
      case ArrayWork::scale: a[i] *= number; return;
      case ArrayWork::clamp: a[i] = clamped(a[i], -number, number); return;
      case ArrayWork::soft_cap: a[i] = number * tanhf(a[i] / number); return;
      case ArrayWork::fill: a[i] = number; return;
    }
  });
}

static __global__ void scale_columns_kernel(float* x, std::int64_t count, std::int64_t width, StoredValues by) {
  for_each_element(count, [&](std::int64_t i) { x[i] *= element_at(by, i % width); });
}

static __global__ void scale_rows_kernel(float* x, std::int64_t count, std::int64_t width, const float* by) {
  for_each_element(count, [&](std::int64_t i) { x[i] *= by[i / width]; });
}

/// Strides and width in units of Unit.
template <class Unit>
__global__ void copy_kernel(const Unit* from, Unit* to, CopyShape shape) {
  for_each_element(shape.outer * shape.middle * shape.inner * shape.width, [&](std::int64_t n) {
    const std::int64_t c = n % shape.width;
    n /= shape.width;
    const std::int64_t k = n % shape.inner;
    n /= shape.inner;
    const std::int64_t j = n % shape.middle, i = n / shape.middle;
    to[i * shape.to_outer + j * shape.to_middle + k * shape.to_inner + c] = from[i * shape.from_outer + j * shape.from_middle + k * shape.from_inner + c];
  });
}

static __global__ void gather_rows_kernel(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) {
  for_each_element(count * width, [&](std::int64_t i) { to[i] = from[rows[i / width] * width + i % width]; });
}

static __global__ void clear_rows_kernel(float* x, const std::uint8_t* valid, std::int64_t count, std::int64_t width) {
  for_each_element(count, [&](std::int64_t i) {
    if (valid[i / width] == 0) x[i] = 0;
  });
}

static __global__ void embedding_kernel(StoredValues table, const std::int64_t* ids, std::int64_t count, std::int64_t width, float* y) {
  for_each_element(count * width, [&](std::int64_t i) { y[i] = element_at(table, ids[i / width] * width + i % width); });
}

static __global__ void widen_kernel(StoredValues from, std::int64_t count, float* y) {
  for_each_element(count, [&](std::int64_t i) { y[i] = element_at(from, i); });
}

/// As std::max_element: the first of the largest; not-a-numbers are never larger, and stay where they come first.
static __global__ void __launch_bounds__(1024) argmax_kernel(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) {
  __shared__ float bests[32];
  __shared__ long long places[32];
  const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const auto take = [](float& best, long long& place, float v, long long at) {
    // Place -1: nothing yet.
    if (at >= 0 && (place < 0 || v > best || (v == best && at < place))) best = v, place = at;
  };
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* from = x + row * width;
    float best = 0;
    long long place = -1;
    // Eight loads are on their way at a time.
    constexpr int kAhead = 8;
    for (std::int64_t i = threadIdx.x; i < width; i += kAhead * static_cast<std::int64_t>(blockDim.x)) {
      float v[kAhead];
      BIGMODEL_UNROLL
      for (int k = 0; k < kAhead; ++k) {
        const std::int64_t at = i + k * static_cast<std::int64_t>(blockDim.x);
        v[k] = at < width ? __ldg(from + at) : __int_as_float(0x7FC00000);
      }
      BIGMODEL_UNROLL
      for (int k = 0; k < kAhead; ++k) {
        if (v[k] == v[k]) take(best, place, v[k], i + k * static_cast<std::int64_t>(blockDim.x));
      }
    }
    for (int by = 16; by > 0; by /= 2) {
      const float other = __shfl_xor_sync(0xFFFFFFFFU, best, by);
      const long long at = __shfl_xor_sync(0xFFFFFFFFU, place, by);
      take(best, place, other, at);
    }
    if (lane == 0) bests[threadIdx.x / 32] = best, places[threadIdx.x / 32] = place;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (unsigned w = 1; w < warps; ++w) take(best, place, bests[w], places[w]);
      ids[row] = from[0] != from[0] || place < 0 ? 0 : place;
    }
    __syncthreads();
  }
}

static __global__ void advance_kernel(std::int64_t* counters, std::int64_t count, std::int64_t by) {
  for_each_element(count, [&](std::int64_t i) { counters[i] += by; });
}

template <class Launcher>
void KernelOps<Launcher>::activate(Activation act, float* x, std::int64_t count) const {
  if (count != 0 && act != Activation::identity) launcher_.launch(&activate_kernel, element_shape(count), act, x, count);
}

template <class Launcher>
void KernelOps<Launcher>::activate_times(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows, std::int64_t width,
                                         float* y, std::int64_t y_stride) const {
  if (rows * width != 0) launcher_.launch(&activate_times_kernel, element_shape(rows * width), act, gate, gate_stride, times, times_stride, rows, width, y, y_stride);
}

template <class Launcher>
void KernelOps<Launcher>::add_scaled(float* a, const float* b, float scale, std::int64_t count) const {
  if (count != 0) launcher_.launch(&array_kernel, element_shape(count), ArrayWork::add_scaled, a, b, scale, count);
}

template <class Launcher>
void KernelOps<Launcher>::multiply(float* a, const float* b, std::int64_t count) const {
  if (count != 0) launcher_.launch(&array_kernel, element_shape(count), ArrayWork::multiply, a, b, 0.0F, count);
}

template <class Launcher>
void KernelOps<Launcher>::scale(float* x, float factor, std::int64_t count) const {
  if (count != 0) launcher_.launch(&array_kernel, element_shape(count), ArrayWork::scale, x, nullptr, factor, count);
}

template <class Launcher>
void KernelOps<Launcher>::clamp(float* x, float limit, std::int64_t count) const {
  if (count != 0) launcher_.launch(&array_kernel, element_shape(count), ArrayWork::clamp, x, nullptr, limit, count);
}

template <class Launcher>
void KernelOps<Launcher>::soft_cap(float* x, float cap, std::int64_t count) const {
  if (count != 0) launcher_.launch(&array_kernel, element_shape(count), ArrayWork::soft_cap, x, nullptr, cap, count);
}

template <class Launcher>
void KernelOps<Launcher>::fill(float* x, float value, std::int64_t count) const {
  if (count != 0) launcher_.launch(&array_kernel, element_shape(count), ArrayWork::fill, x, nullptr, value, count);
}

template <class Launcher>
void KernelOps<Launcher>::scale_columns(float* x, std::int64_t rows, std::int64_t width, const TensorView& by) const {
  if (!is_weight_dtype(by.dtype)) throw_not_a_weight_dtype(by.dtype);
  if (rows * width != 0) launcher_.launch(&scale_columns_kernel, element_shape(rows * width), x, rows * width, width, stored(by));
}

template <class Launcher>
void KernelOps<Launcher>::scale_rows(float* x, std::int64_t rows, std::int64_t width, const float* by) const {
  if (rows * width != 0) launcher_.launch(&scale_rows_kernel, element_shape(rows * width), x, rows * width, width, by);
}

template <class Launcher>
void KernelOps<Launcher>::copy(const float* from, float* to, const CopyShape& shape) const {
  const std::int64_t count = shape.outer * shape.middle * shape.inner * shape.width;
  if (count == 0) return;
  const auto fours = [](auto... values) { return ((values % 4 == 0) && ...); };
  if (reinterpret_cast<std::uintptr_t>(from) % 16 == 0 && reinterpret_cast<std::uintptr_t>(to) % 16 == 0 &&
      fours(shape.width, shape.from_outer, shape.from_middle, shape.from_inner, shape.to_outer, shape.to_middle, shape.to_inner)) {
    const CopyShape quarter{shape.outer, shape.middle, shape.inner, shape.width / 4, shape.from_outer / 4, shape.from_middle / 4, shape.from_inner / 4, shape.to_outer / 4, shape.to_middle / 4,
                            shape.to_inner / 4};
    launcher_.launch(&copy_kernel<float4>, element_shape(count / 4), reinterpret_cast<const float4*>(from), reinterpret_cast<float4*>(to), quarter);
    return;
  }
  launcher_.launch(&copy_kernel<float>, element_shape(count), from, to, shape);
}

template <class Launcher>
void KernelOps<Launcher>::gather_rows(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) const {
  if (count * width != 0) launcher_.launch(&gather_rows_kernel, element_shape(count * width), from, rows, count, width, to);
}

template <class Launcher>
void KernelOps<Launcher>::clear_rows(float* x, const std::uint8_t* valid, std::int64_t rows, std::int64_t width) const {
  if (rows * width != 0) launcher_.launch(&clear_rows_kernel, element_shape(rows * width), x, valid, rows * width, width);
}

template <class Launcher>
void KernelOps<Launcher>::embedding(const TensorView& table, const std::int64_t* ids, std::int64_t count, float* y) const {
  if (!is_weight_dtype(table.dtype)) throw_not_a_weight_dtype(table.dtype);
  BIGMODEL_ASSERT(!table.is_meta() && table.shape.size() == 2);
  const std::int64_t width = table.size(1);
  if (count * width != 0) launcher_.launch(&embedding_kernel, element_shape(count * width), stored(table), ids, count, width, y);
}

template <class Launcher>
void KernelOps<Launcher>::widen(const TensorView& from, float* y) const {
  if (!is_weight_dtype(from.dtype)) throw_not_a_weight_dtype(from.dtype);
  const std::int64_t count = element_count(from.shape);
  if (count != 0) launcher_.launch(&widen_kernel, element_shape(count), stored(from), count, y);
}

template <class Launcher>
void KernelOps<Launcher>::argmax(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) const {
  BIGMODEL_ASSERT(width > 0);
  if (rows != 0) launcher_.launch(&argmax_kernel, row_shape(rows, width), x, rows, width, ids);
}

template <class Launcher>
void KernelOps<Launcher>::advance(std::int64_t* counters, std::int64_t count, std::int64_t by) const {
  if (count != 0) launcher_.launch(&advance_kernel, element_shape(count), counters, count, by);
}

}  // namespace bigmodel::ops
