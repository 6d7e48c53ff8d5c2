// SPDX-License-Identifier: Apache-2.0
// Weights of any stored dtype as kernels read them: one element, or eight neighbours, from any address.
#pragma once

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/tensor_view.h"
#include "bigmodel/ops/cuda/element_values.cuh"

namespace bigmodel::ops {

/// A tensor's bytes on the device; null: none.
struct StoredValues {
  const std::byte* data = nullptr;
  DType dtype = DType::float32;
};

inline StoredValues stored(const TensorView& tensor) { return {tensor.data, tensor.dtype}; }
inline StoredValues stored(const TensorView* tensor) { return tensor == nullptr ? StoredValues{} : stored(*tensor); }

__device__ __forceinline__ bool is_aligned(const void* at, unsigned bytes) { return reinterpret_cast<std::uintptr_t>(at) % bytes == 0; }

// Loads at addresses that need not be multiples of the size.
__device__ __forceinline__ unsigned load_byte(const std::byte* at) { return __ldg(reinterpret_cast<const unsigned char*>(at)); }
__device__ __forceinline__ unsigned load_half_word(const std::byte* at) {
  if (is_aligned(at, 2)) return __ldg(reinterpret_cast<const unsigned short*>(at));
  return load_byte(at) | load_byte(at + 1) << 8;
}
__device__ __forceinline__ unsigned load_word(const std::byte* at) {
  if (is_aligned(at, 4)) return __ldg(reinterpret_cast<const unsigned*>(at));
  return load_half_word(at) | load_half_word(at + 2) << 16;
}

/// 16 bytes that are read once: they do not push out what the cache keeps. `at` is a multiple of 16.
__device__ __forceinline__ uint4 load_streamed(const std::byte* at) {
#ifdef __CUDACC__
  uint4 v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(at));
  return v;
#else
  return *reinterpret_cast<const uint4*>(at);
#endif
}

/// Integer i (of four) of a word of signed bytes, exactly: its bits as a float's last, less where they start.
__device__ __forceinline__ float signed_byte(unsigned word, int i) {
  return __uint_as_float(__byte_perm(word ^ 0x80808080U, 0x4B000000U, 0x7440U + static_cast<unsigned>(i))) - 8388736.0F;
}
/// Integer 0 .. 15 in bits 4 i .. 4 i + 3, less 8.
__device__ __forceinline__ float nibble(unsigned word, int i) { return __uint_as_float((word >> (4 * i) & 15U) | 0x4B000000U) - 8388616.0F; }

/// Element i as float32.
__device__ __forceinline__ float element_at(const StoredValues& from, std::int64_t i) {
  switch (from.dtype) {
    case DType::bfloat16: return bf16_to_float(load_half_word(from.data + 2 * i));
    case DType::float16: return f16_to_float(load_half_word(from.data + 2 * i));
    case DType::q8_0: {
      const std::byte* block = from.data + i / 32 * 34;
      return f16_to_float(load_half_word(block)) * static_cast<float>(static_cast<signed char>(load_byte(block + 2 + i % 32)));
    }
    case DType::q4_0: {
      const std::byte* block = from.data + i / 32 * 18;
      const unsigned pair = load_byte(block + 2 + i % 16);
      return f16_to_float(load_half_word(block)) * (static_cast<float>(i % 32 < 16 ? pair & 15U : pair >> 4) - 8.0F);
    }
    default: return __uint_as_float(load_word(from.data + 4 * i));
  }
}

/// Elements first .. first + 7; first is a multiple of 8.
__device__ __forceinline__ void load_eight(const StoredValues& from, std::int64_t first, float (&v)[8]) {
  switch (from.dtype) {
    case DType::bfloat16:
    case DType::float16: {
      const std::byte* at = from.data + 2 * first;
      unsigned w[4];
      if (is_aligned(at, 16)) {
        const uint4 all = load_streamed(at);
        w[0] = all.x, w[1] = all.y, w[2] = all.z, w[3] = all.w;
      } else {
        for (int i = 0; i < 4; ++i) w[i] = load_word(at + 4 * i);
      }
      const bool brain = from.dtype == DType::bfloat16;
      for (int i = 0; i < 4; ++i) {
        v[2 * i] = brain ? bf16_low(w[i]) : f16_low(w[i]);
        v[2 * i + 1] = brain ? bf16_high(w[i]) : f16_high(w[i]);
      }
      return;
    }
    case DType::q8_0: {
      const std::byte* block = from.data + first / 32 * 34;
      const float factor = f16_to_float(load_half_word(block));
      for (int word = 0; word < 2; ++word) {
        const unsigned w = load_word(block + 2 + first % 32 + 4 * word);
        for (int i = 0; i < 4; ++i) v[4 * word + i] = factor * signed_byte(w, i);
      }
      return;
    }
    case DType::q4_0: {
      const std::byte* block = from.data + first / 32 * 18;
      const float factor = f16_to_float(load_half_word(block));
      for (int word = 0; word < 2; ++word) {
        const unsigned w = load_word(block + 2 + first % 16 + 4 * word) >> (first % 32 < 16 ? 0 : 4);
        for (int i = 0; i < 4; ++i) v[4 * word + i] = factor * nibble(w, 2 * i);
      }
      return;
    }
    default: {
      const std::byte* at = from.data + 4 * first;
      if (is_aligned(at, 16)) {
        for (int half = 0; half < 2; ++half) {
          const uint4 all = load_streamed(at + 16 * half);
          v[4 * half] = __uint_as_float(all.x), v[4 * half + 1] = __uint_as_float(all.y), v[4 * half + 2] = __uint_as_float(all.z), v[4 * half + 3] = __uint_as_float(all.w);
        }
      } else {
        for (int i = 0; i < 8; ++i) v[i] = __uint_as_float(load_word(at + 4 * i));
      }
      return;
    }
  }
}

/// The sum of v over the lanes of a warp, in one order; all lanes call and get it.
__device__ __forceinline__ float warp_sum(float v) {
  for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xFFFFFFFFU, v, by);
  return v;
}

/// Sums of kCount values (a power of 2, at most 32) over the lanes of a warp, each in the order of warp_sum: lane l gets that of value l / (32 / kCount).
/// Lanes halve what they keep before they pass on: as many shuffles as values, not five times as many. By recursion: indices must be constants, or the
/// values go to memory.
template <int kCount, int kBy = 16>
__device__ __forceinline__ float warp_sums(float* v) {
  if constexpr (kCount > 1) {
    constexpr int kHalf = kCount / 2;
    const bool upper = (threadIdx.x & static_cast<unsigned>(kBy)) != 0;
    BIGMODEL_UNROLL
    for (int i = 0; i < kHalf; ++i) {
      const float kept = upper ? v[i + kHalf] : v[i], given = upper ? v[i] : v[i + kHalf];
      v[i] = kept + __shfl_xor_sync(0xFFFFFFFFU, given, kBy);
    }
    return warp_sums<kHalf, kBy / 2>(v);
  } else if constexpr (kBy > 0) {
    v[0] += __shfl_xor_sync(0xFFFFFFFFU, v[0], kBy);
    return warp_sums<1, kBy / 2>(v);
  } else {
    return v[0];
  }
}

}  // namespace bigmodel::ops
