// SPDX-License-Identifier: Apache-2.0
// Stored 16-bit elements as float32 and back, the same to the bit on cards and in the emulator.
#pragma once

#include "bigmodel/ops/cuda/kernel_language.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

namespace bigmodel::ops {

__device__ __forceinline__ float bf16_to_float(unsigned bits) { return __uint_as_float(bits << 16); }
/// Of a pair in one word: the first element is the low half.
__device__ __forceinline__ float bf16_low(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float bf16_high(unsigned pair) { return __uint_as_float(pair & 0xFFFF0000U); }

/// To nearest even; not-a-numbers stay quiet ones.
__device__ __forceinline__ std::uint16_t float_to_bf16(float v) {
  const unsigned bits = __float_as_uint(v);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

__device__ __forceinline__ float f16_to_float(unsigned bits) {
#ifdef __CUDACC__
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
#else
  const unsigned sign = (bits & 0x8000U) << 16;
  const unsigned magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return __uint_as_float(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13);
  return __uint_as_float(__float_as_uint(__uint_as_float(magnitude << 13) * 0x1p112F) | sign);
#endif
}
__device__ __forceinline__ float f16_low(unsigned pair) { return f16_to_float(pair & 0xFFFFU); }
__device__ __forceinline__ float f16_high(unsigned pair) { return f16_to_float(pair >> 16); }

/// To nearest even; beyond 65504: infinity.
__device__ __forceinline__ std::uint16_t float_to_f16(float v) {
#ifdef __CUDACC__
  return __half_as_ushort(__float2half_rn(v));
#else
  const unsigned bits = __float_as_uint(v);
  const unsigned sign = bits >> 16 & 0x8000U;
  const unsigned magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {
    // Subnormal: adding 0.5 puts the last kept bit where float32 rounds.
    const unsigned sum = __float_as_uint(__uint_as_float(magnitude) + 0.5F);
    return static_cast<std::uint16_t>(sign | (sum - 0x3F000000U));
  }
  return static_cast<std::uint16_t>(sign | ((magnitude + 0xFFFU + (magnitude >> 13 & 1U)) - 0x38000000U) >> 13);
#endif
}

}  // namespace bigmodel::ops
