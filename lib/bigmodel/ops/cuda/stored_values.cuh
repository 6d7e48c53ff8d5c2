// SPDX-License-Identifier: Apache-2.0
// What kernels read and write: elements and blocks of every dtype of weights and caches as float32, eight neighbours at a time.
#pragma once

#include <math.h>

#include <string>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/tensor_view.h"
#include "bigmodel/ops/cuda/element_values.cuh"

#ifndef __CUDACC__
#include <cstdlib>
#endif

/// For what is rare in a kernel, or would be many times in it: every copy costs time of the compiler.
#ifdef __CUDACC__
#define BIGMODEL_NOINLINE __noinline__
#else
#define BIGMODEL_NOINLINE
#endif

namespace bigmodel::ops::kernels {

using Bytes = unsigned char;

/// Elements that one load gives, 16 bytes of a 16-bit dtype.
inline constexpr int kEight = 8;

/// Ends the emulator where the address does not fit a 16-byte load; on a card such a load is an error of its own.
__device__ __forceinline__ uint4 load_words(const void* at) {
#ifndef __CUDACC__
  if (reinterpret_cast<std::uintptr_t>(at) % 16 != 0) bigmodel::emulator::fail("a 16-byte load from an address that is not a multiple of 16", bigmodel::emulator::Where::current());
#endif
  return *static_cast<const uint4*>(at);
}

// Formats of a row. bytes(n): of n elements. one(row, i): a single element. whole(row, i, v): the elements i .. i + 7, which are all there; they begin at a
// multiple of 16 bytes, or i at a multiple of 8 in a block. load(row, i, count, aligned, v): the same for a row of `count`, with zeros beyond its end, and from
// anywhere unless `aligned` (which for blocks makes no difference).

struct F32Row {
  static constexpr DType kType = DType::float32;
  static constexpr bool kBlocks = false;
  __device__ __forceinline__ static std::int64_t bytes(std::int64_t count) { return count * 4; }
  __device__ __forceinline__ static float one(const Bytes* row, std::int64_t i) { return reinterpret_cast<const float*>(row)[i]; }
  __device__ __forceinline__ static void store(Bytes* row, std::int64_t i, float x) { reinterpret_cast<float*>(row)[i] = x; }
  __device__ __forceinline__ static void whole(const Bytes* row, std::int64_t i, float (&v)[kEight]) {
    const uint4 low = load_words(row + i * 4);
    const uint4 high = load_words(row + i * 4 + 16);
    const unsigned words[kEight] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    BIGMODEL_UNROLL
    for (int n = 0; n < kEight; ++n) v[n] = __uint_as_float(words[n]);
  }
  __device__ __forceinline__ static void load(const Bytes* row, std::int64_t i, std::int64_t count, bool aligned, float (&v)[kEight]) {
    if (aligned && i + kEight <= count) return whole(row, i, v);
    BIGMODEL_UNROLL
    for (int n = 0; n < kEight; ++n) v[n] = i + n < count ? one(row, i + n) : 0.0F;
  }
};

/// bfloat16 and float16 differ in how 16 bits become a float.
template <class Half>
struct HalfRow {
  static constexpr DType kType = Half::kType;
  static constexpr bool kBlocks = false;
  __device__ __forceinline__ static std::int64_t bytes(std::int64_t count) { return count * 2; }
  __device__ __forceinline__ static float one(const Bytes* row, std::int64_t i) { return Half::wide(reinterpret_cast<const std::uint16_t*>(row)[i]); }
  __device__ __forceinline__ static void store(Bytes* row, std::int64_t i, float x) { reinterpret_cast<std::uint16_t*>(row)[i] = Half::narrow(x); }
  __device__ __forceinline__ static void whole(const Bytes* row, std::int64_t i, float (&v)[kEight]) {
    const uint4 pairs = load_words(row + i * 2);
    const unsigned words[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
    BIGMODEL_UNROLL
    for (int n = 0; n < 4; ++n) {
      v[2 * n] = Half::wide(words[n] & 0xFFFFU);
      v[2 * n + 1] = Half::wide(words[n] >> 16);
    }
  }
  __device__ __forceinline__ static void load(const Bytes* row, std::int64_t i, std::int64_t count, bool aligned, float (&v)[kEight]) {
    if (aligned && i + kEight <= count) return whole(row, i, v);
    BIGMODEL_UNROLL
    for (int n = 0; n < kEight; ++n) v[n] = i + n < count ? one(row, i + n) : 0.0F;
  }
};
struct BF16Value {
  static constexpr DType kType = DType::bfloat16;
  __device__ __forceinline__ static float wide(std::uint32_t bits) { return bf16_to_float(bits); }
  __device__ __forceinline__ static std::uint16_t narrow(float x) { return float_to_bf16(x); }
};
struct F16Value {
  static constexpr DType kType = DType::float16;
  __device__ __forceinline__ static float wide(std::uint32_t bits) { return f16_to_float(bits); }
  __device__ __forceinline__ static std::uint16_t narrow(float x) { return float_to_f16(x); }
};
using BF16Row = HalfRow<BF16Value>;
using F16Row = HalfRow<F16Value>;

/// Blocks (ops/blocks.h) begin at multiples of 2 bytes only, so 16 bits are the widest load.
struct Q8Row {
  static constexpr DType kType = DType::q8_0;
  static constexpr bool kBlocks = true;
  __device__ __forceinline__ static std::int64_t bytes(std::int64_t count) { return count / 32 * 34; }
  __device__ __forceinline__ static void load(const Bytes* row, std::int64_t i, std::int64_t count, bool, float (&v)[kEight]) {
    if (i < count) return whole(row, i, v);
    BIGMODEL_UNROLL
    for (int n = 0; n < kEight; ++n) v[n] = 0;
  }
  __device__ __forceinline__ static void whole(const Bytes* row, std::int64_t i, float (&v)[kEight]) {
    const auto* block = reinterpret_cast<const std::uint16_t*>(row + i / 32 * 34);
    const float factor = f16_to_float(block[0]);
    const std::uint16_t* pairs = block + 1 + i % 32 / 2;
    BIGMODEL_UNROLL
    for (int n = 0; n < 4; ++n) {
      const std::uint32_t pair = pairs[n];
      v[2 * n] = factor * static_cast<float>(static_cast<std::int8_t>(pair & 0xFFU));
      v[2 * n + 1] = factor * static_cast<float>(static_cast<std::int8_t>(pair >> 8));
    }
  }
  __device__ __forceinline__ static float one(const Bytes* row, std::int64_t i) {
    const Bytes* block = row + i / 32 * 34;
    return f16_to_float(*reinterpret_cast<const std::uint16_t*>(block)) * static_cast<float>(static_cast<std::int8_t>(block[2 + i % 32]));
  }
};

struct Q4Row {
  static constexpr DType kType = DType::q4_0;
  static constexpr bool kBlocks = true;
  __device__ __forceinline__ static std::int64_t bytes(std::int64_t count) { return count / 32 * 18; }
  __device__ __forceinline__ static void load(const Bytes* row, std::int64_t i, std::int64_t count, bool, float (&v)[kEight]) {
    if (i < count) return whole(row, i, v);
    BIGMODEL_UNROLL
    for (int n = 0; n < kEight; ++n) v[n] = 0;
  }
  __device__ __forceinline__ static void whole(const Bytes* row, std::int64_t i, float (&v)[kEight]) {
    const auto* block = reinterpret_cast<const std::uint16_t*>(row + i / 32 * 18);
    const float factor = f16_to_float(block[0]);
    const std::uint16_t* pairs = block + 1 + i % 16 / 2;
    const std::uint32_t shift = i % 32 < 16 ? 0 : 4;
    BIGMODEL_UNROLL
    for (int n = 0; n < 4; ++n) {
      const std::uint32_t pair = pairs[n] >> shift;
      v[2 * n] = factor * static_cast<float>(static_cast<int>(pair & 15U) - 8);
      v[2 * n + 1] = factor * static_cast<float>(static_cast<int>(pair >> 8 & 15U) - 8);
    }
  }
  __device__ __forceinline__ static float one(const Bytes* row, std::int64_t i) {
    const Bytes* block = row + i / 32 * 18;
    const std::uint32_t pair = block[2 + i % 16];
    return f16_to_float(*reinterpret_cast<const std::uint16_t*>(block)) * static_cast<float>(static_cast<int>(i % 32 < 16 ? pair & 15U : pair >> 4) - 8);
  }
};

/// A small tensor whose dtype the host did not choose the kernel by: biases, convolutions, A_log. float32, bfloat16 or float16.
struct SmallTensor {
  const Bytes* data = nullptr;   ///< null: not there
  DType dtype = DType::float32;
  __device__ float operator[](std::int64_t i) const {
    if (dtype == DType::float32) return F32Row::one(data, i);
    if (dtype == DType::bfloat16) return BF16Row::one(data, i);
    return F16Row::one(data, i);
  }
};

/// Throws UnsupportedError naming `what` for other dtypes. Null: not there.
inline SmallTensor small(const TensorView* tensor, const char* what) {
  if (tensor == nullptr) return {};
  if (tensor->dtype != DType::float32 && tensor->dtype != DType::bfloat16 && tensor->dtype != DType::float16) {
    throw UnsupportedError(std::string(what) + ": expected float32, bfloat16 or float16, got " + std::string(name(tensor->dtype)));
  }
  return {reinterpret_cast<const Bytes*>(tensor->data), tensor->dtype};
}

/// Sum over a warp, the same in every lane.
__device__ __forceinline__ float warp_sum(float x) {
  BIGMODEL_UNROLL
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFU, x, step);
  return x;
}

__device__ __forceinline__ float warp_largest(float x) {
  BIGMODEL_UNROLL
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFU, x, step));
  return x;
}

}  // namespace bigmodel::ops::kernels
