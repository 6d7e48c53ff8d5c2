// SPDX-License-Identifier: Apache-2.0
// One warp's product on tensor cores: D [16, 8] = A [16, 16] B [16, 8] + C, pairs of bfloat16 or float16, float32 sums.
#pragma once

#include "bigmodel/ops/cuda/element_values.cuh"

namespace bigmodel::ops {

/// Fragments of lane l, with g = l / 4 and t = l % 4; a word holds two neighbours along k, the first in its low half:
///   a[0]: A(g, 2t ..), a[1]: A(g + 8, 2t ..), a[2]: A(g, 2t + 8 ..), a[3]: A(g + 8, 2t + 8 ..)
///   b[0]: B(2t .., g), b[1]: B(2t + 8 .., g)
///   d[0], d[1]: D(g, 2t), D(g, 2t + 1); d[2], d[3]: D(g + 8, 2t), D(g + 8, 2t + 1)
/// d is C on the way in. All 32 lanes call. Below compute capability 8.0 there are no products of bfloat16: the launch fails.
template <bool kBFloat16>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

#ifdef __CUDACC__

template <bool kBFloat16>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  if constexpr (kBFloat16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#else
  if constexpr (kBFloat16) {
    __trap();
  } else {
    // Two steps of 8 along k: the halves of the fragments are theirs as they are.
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2]), "r"(a[3]), "r"(b[1]));
  }
#endif
}

#else

struct EmulatedFragments {
  unsigned a[4], b[2];
  float d[4];
};

template <bool kBFloat16>
void exchange_fragments(void* const* lanes, std::uint32_t mask, const bigmodel::emulator::Where& at) {
  if (mask != 0xFFFFFFFFU) bigmodel::emulator::fail("mma: not all lanes of the warp are there", at);
  const auto lane = [&](int l) -> EmulatedFragments& { return *static_cast<EmulatedFragments*>(lanes[l]); };
  const auto value = [](unsigned pair, int half) {
    const unsigned bits = half == 0 ? pair & 0xFFFFU : pair >> 16;
    return kBFloat16 ? bf16_to_float(bits) : f16_to_float(bits);
  };
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; ++l) {
    const int g = l / 4, t = l % 4;
    for (int half = 0; half < 2; ++half) {
      a[g][2 * t + half] = value(lane(l).a[0], half);
      a[g + 8][2 * t + half] = value(lane(l).a[1], half);
      a[g][2 * t + 8 + half] = value(lane(l).a[2], half);
      a[g + 8][2 * t + 8 + half] = value(lane(l).a[3], half);
      b[2 * t + half][g] = value(lane(l).b[0], half);
      b[2 * t + 8 + half][g] = value(lane(l).b[1], half);
    }
  }
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + 8 * (i / 2), column = 2 * (l % 4) + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      lane(l).d[i] += sum;
    }
  }
}

template <bool kBFloat16>
void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  const auto at = bigmodel::emulator::Where::current();
  if (kBFloat16 && bigmodel::emulator::capability() < 80) bigmodel::emulator::fail("mma of bfloat16 needs compute capability 8.0", at);
  EmulatedFragments mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
  bigmodel::emulator::meet(0xFFFFFFFFU, &mine, &exchange_fragments<kBFloat16>, at);
  for (int i = 0; i < 4; ++i) d[i] = mine.d[i];
}

#endif

}  // namespace bigmodel::ops
