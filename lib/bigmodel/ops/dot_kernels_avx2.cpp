// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2 with FMA and F16C. Every function names its instruction set itself, so that nothing of the standard library is compiled
// for it.
#include "bigmodel/ops/dot_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "bigmodel/ops/block_integers_x86.h"
#include "bigmodel/ops/widen.h"

#define BIGMODEL_AVX2 __attribute__((target("avx2,fma,f16c")))
#define BIGMODEL_INLINE inline __attribute__((always_inline))

namespace bigmodel::ops {
namespace {

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kOuts = 3;

struct F32 : Float32 {
  BIGMODEL_AVX2 static BIGMODEL_INLINE __m256 load8(const std::byte* at) { return _mm256_loadu_ps(reinterpret_cast<const float*>(at)); }
};
struct Bf16 : BFloat16 {
  BIGMODEL_AVX2 static BIGMODEL_INLINE __m256 load8(const std::byte* at) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))), 16));
  }
};
struct F16 : Float16 {
  BIGMODEL_AVX2 static BIGMODEL_INLINE __m256 load8(const std::byte* at) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))); }
};

/// The lanes' sum, after the products from `i` on, which fill no vector, have joined their lanes.
template <typename Element>
BIGMODEL_AVX2 BIGMODEL_INLINE float sum_with_tail(__m256 sums, const float* x, const std::byte* w, std::int64_t i, std::int64_t k) {
  float lanes[8];
  _mm256_storeu_ps(lanes, sums);
  for (std::int64_t t = i; t < k; ++t) lanes[t - i] += x[t] * Element::load(w + t * Element::kBytes);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

template <typename Element, int R, int O>
BIGMODEL_AVX2 void tile(const float* x, std::int64_t x_step, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y, std::int64_t y_step) {
  __m256 sums[R][O];
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) sums[r][o] = _mm256_setzero_ps();
  }
  std::int64_t i = 0;
  for (; i + 8 <= k; i += 8) {
    __m256 b[O];
    for (int o = 0; o < O; ++o) b[o] = Element::load8(w + o * w_step + i * Element::kBytes);
    for (int r = 0; r < R; ++r) {
      const __m256 a = _mm256_loadu_ps(x + r * x_step + i);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm256_fmadd_ps(a, b[o], sums[r][o]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) y[r * y_step + o] = sum_with_tail<Element>(sums[r][o], x + r * x_step, w + o * w_step, i, k);
  }
}

/// The products of one row of activations. Weights are asked for a group of O rows ahead and in the order in which they lie in memory: left
/// alone, the processor takes every row for a stream of its own and starts anew at each page. Sums as in tile().
template <typename Element, int O>
BIGMODEL_AVX2 void stream(const float* x, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y) {
  constexpr std::int64_t kLine = kCacheLineBytes / Element::kBytes;
  __m256 sums[O];
  for (int o = 0; o < O; ++o) sums[o] = _mm256_setzero_ps();
  auto ahead = reinterpret_cast<std::uintptr_t>(w) + static_cast<std::uintptr_t>(O * w_step);
  std::int64_t i = 0;
  for (; i + kLine <= k; i += kLine) {
    for (int o = 0; o < O; ++o, ahead += kCacheLineBytes) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    for (std::int64_t j = i; j < i + kLine; j += 8) {
      const __m256 a = _mm256_loadu_ps(x + j);
      for (int o = 0; o < O; ++o) sums[o] = _mm256_fmadd_ps(a, Element::load8(w + o * w_step + j * Element::kBytes), sums[o]);
    }
  }
  for (; i + 8 <= k; i += 8) {
    const __m256 a = _mm256_loadu_ps(x + i);
    for (int o = 0; o < O; ++o) sums[o] = _mm256_fmadd_ps(a, Element::load8(w + o * w_step + i * Element::kBytes), sums[o]);
  }
  for (int o = 0; o < O; ++o) y[o] = sum_with_tail<Element>(sums[o], x, w + o * w_step, i, k);
}

template <typename Block>
BIGMODEL_AVX2 BIGMODEL_INLINE void add_block(const float* x, const std::byte* at, __m256& sum) {
  const Block block(at);
  std::uint16_t half;
  std::memcpy(&half, at, sizeof half);
  const __m256 factor = _mm256_set1_ps(_cvtsh_ss(half));
  const __m128i eights[4] = {block.low, _mm_srli_si128(block.low, 8), block.high, _mm_srli_si128(block.high, 8)};
  for (int j = 0; j < 4; ++j) {
    const __m256 w = _mm256_mul_ps(factor, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eights[j])));
    sum = _mm256_fmadd_ps(_mm256_loadu_ps(x + 8 * j), w, sum);
  }
}

/// stream() for blocks.
template <typename Block, int O>
BIGMODEL_AVX2 void stream_blocks(const float* x, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y) {
  __m256 sums[O];
  for (int o = 0; o < O; ++o) sums[o] = _mm256_setzero_ps();
  auto ahead = reinterpret_cast<std::uintptr_t>(w) + static_cast<std::uintptr_t>(O * w_step);
  for (std::int64_t i = 0; i < k; i += kBlock, w += Block::kBytes) {
    for (int o = 0; o < O; ++o, ahead += Block::kBytes) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    for (int o = 0; o < O; ++o) add_block<Block>(x + i, w + o * w_step, sums[o]);
  }
  for (int o = 0; o < O; ++o) y[o] = sum_with_tail<F32>(sums[o], nullptr, nullptr, k, k);
}

template <typename Block>
void block_tile(const void* x, std::int64_t, std::int64_t, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y, std::int64_t) {
  const auto* a = static_cast<const float*>(x);
  for (; outs >= 4; outs -= 4, w += 4 * w_step, y += 4) stream_blocks<Block, 4>(a, w, w_step, k, y);
  for (; outs >= 1; outs -= 1, w += w_step, y += 1) stream_blocks<Block, 1>(a, w, w_step, k, y);
}

template <typename Element, int R>
void tile_of_outs(const float* x, std::int64_t x_step, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y, std::int64_t y_step) {
  switch (outs) {
    case 3: return tile<Element, R, 3>(x, x_step, w, w_step, k, y, y_step);
    case 2: return tile<Element, R, 2>(x, x_step, w, w_step, k, y, y_step);
    default: return tile<Element, R, 1>(x, x_step, w, w_step, k, y, y_step);
  }
}

template <typename Element>
void tile_of(const void* x, std::int64_t x_step, std::int64_t rows, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y,
             std::int64_t y_step) {
  const auto* a = static_cast<const float*>(x);
  switch (rows) {
    case 4: return tile_of_outs<Element, 4>(a, x_step, w, w_step, outs, k, y, y_step);
    case 3: return tile_of_outs<Element, 3>(a, x_step, w, w_step, outs, k, y, y_step);
    case 2: return tile_of_outs<Element, 2>(a, x_step, w, w_step, outs, k, y, y_step);
    default:
      for (; outs >= 2; outs -= 2, w += 2 * w_step, y += 2) stream<Element, 2>(a, w, w_step, k, y);
      if (outs == 1) stream<Element, 1>(a, w, w_step, k, y);
  }
}

BIGMODEL_AVX2 void add_scaled(float a, const float* x, float* y, std::int64_t count) {
  const __m256 factor = _mm256_set1_ps(a);
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  for (; i < count; ++i) y[i] += a * x[i];
}

BIGMODEL_AVX2 void widen_f16(const std::uint16_t* x, float* to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))));
  if (i < count) portable_dot_kernels().widen_f16(x + i, to + i, count - i);
}

BIGMODEL_AVX2 void weighted_sum(const float* weights, std::int64_t count, const float* rows, std::int64_t width, float* out) {
  std::int64_t d = 0;
  for (; d + 32 <= width; d += 32) {
    __m256 sums[4];
    for (int s = 0; s < 4; ++s) sums[s] = _mm256_setzero_ps();
    const float* row = rows + d;
    for (std::int64_t j = 0; j < count; ++j, row += width) {
      const __m256 w = _mm256_set1_ps(weights[j]);
      for (int s = 0; s < 4; ++s) sums[s] = _mm256_fmadd_ps(w, _mm256_loadu_ps(row + 8 * s), sums[s]);
    }
    for (int s = 0; s < 4; ++s) _mm256_storeu_ps(out + d + 8 * s, sums[s]);
  }
  for (; d < width; ++d) {
    float sum = 0;
    for (std::int64_t j = 0; j < count; ++j) sum += weights[j] * rows[j * width + d];
    out[d] = sum;
  }
}

}  // namespace

const DotKernels* avx2_dot_kernels() {
  static const DotKernels kKernels{.tile_rows = kRows, .tile_outs = kOuts, .f32 = &tile_of<F32>, .bf16 = &tile_of<Bf16>, .f16 = &tile_of<F16>, .q8_0 = &block_tile<Q8Integers>, .q4_0 = &block_tile<Q4Integers>, .bf16_pairs = nullptr,
                                   .add_scaled = &add_scaled, .weighted_sum = &weighted_sum, .exp_and_sum = portable_dot_kernels().exp_and_sum, .silu = portable_dot_kernels().silu, .widen_f16 = &widen_f16,
                                   .round_to_bf16 = portable_dot_kernels().round_to_bf16};
  return &kKernels;
}

}  // namespace bigmodel::ops
#else
namespace bigmodel::ops {
const DotKernels* avx2_dot_kernels() { return nullptr; }
}  // namespace bigmodel::ops
#endif
