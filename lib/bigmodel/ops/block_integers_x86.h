// SPDX-License-Identifier: Apache-2.0
// The integers of a block of weights (ops/blocks.h) as signed bytes in two registers: what the kernels for AVX2 and for AVX-512 widen from.
#pragma once

#if defined(__x86_64__)
#include <emmintrin.h>

#include "bigmodel/ops/blocks.h"

namespace bigmodel::ops {

inline __m128i load_sixteen(const std::byte* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

struct Q8Integers : Q8Block {
  __m128i low, high;   ///< elements 0 .. 15, 16 .. 31
  explicit Q8Integers(const std::byte* block) : low(load_sixteen(block + 2)), high(load_sixteen(block + 18)) {}
};

struct Q4Integers : Q4Block {
  __m128i low, high;   ///< elements 0 .. 15, 16 .. 31
  explicit Q4Integers(const std::byte* block) {
    const __m128i pairs = load_sixteen(block + 2);
    const __m128i mask = _mm_set1_epi8(15), middle = _mm_set1_epi8(8);
    low = _mm_sub_epi8(_mm_and_si128(pairs, mask), middle);
    high = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(pairs, 4), mask), middle);
  }
};

}  // namespace bigmodel::ops
#endif
