// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX-512, with and without bfloat16 products. Every function names its instruction set itself, so that nothing of the standard
// library is compiled for it.
#include "bigmodel/ops/dot_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "bigmodel/ops/block_integers_x86.h"

#define BIGMODEL_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define BIGMODEL_AVX512_BF16 __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define BIGMODEL_INLINE inline __attribute__((always_inline))

namespace bigmodel::ops {
namespace {

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kOuts = 6;

struct F32 {
  static constexpr std::int64_t kBytes = 4;
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 load(const std::byte* at) { return _mm512_loadu_ps(at); }
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 load(const std::byte* at, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, at); }
};
struct Bf16 {
  static constexpr std::int64_t kBytes = 2;
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 widen(__m256i raw) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16)); }
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 load(const std::byte* at) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))); }
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 load(const std::byte* at, __mmask16 mask) { return widen(_mm256_maskz_loadu_epi16(mask, at)); }
};
struct F16 {
  static constexpr std::int64_t kBytes = 2;
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 load(const std::byte* at) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))); }
  BIGMODEL_AVX512 static BIGMODEL_INLINE __m512 load(const std::byte* at, __mmask16 mask) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at)); }
};

template <typename Element, int R, int O>
BIGMODEL_AVX512 void tile(const float* x, std::int64_t x_step, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y, std::int64_t y_step) {
  __m512 sums[R][O];
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) sums[r][o] = _mm512_setzero_ps();
  }
  std::int64_t i = 0;
  for (; i + 16 <= k; i += 16) {
    __m512 b[O];
    for (int o = 0; o < O; ++o) b[o] = Element::load(w + o * w_step + i * Element::kBytes);
    for (int r = 0; r < R; ++r) {
      const __m512 a = _mm512_loadu_ps(x + r * x_step + i);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm512_fmadd_ps(a, b[o], sums[r][o]);
    }
  }
  if (i < k) {
    const auto mask = static_cast<__mmask16>((1u << (k - i)) - 1u);
    __m512 b[O];
    for (int o = 0; o < O; ++o) b[o] = Element::load(w + o * w_step + i * Element::kBytes, mask);
    for (int r = 0; r < R; ++r) {
      const __m512 a = _mm512_maskz_loadu_ps(mask, x + r * x_step + i);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm512_fmadd_ps(a, b[o], sums[r][o]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) y[r * y_step + o] = _mm512_reduce_add_ps(sums[r][o]);
  }
}

/// The products of one row of activations. Weights are asked for a group of O rows ahead and in the order in which they lie in memory: left
/// alone, the processor takes every row for a stream of its own and starts anew at each page. Sums as in tile().
template <typename Element, int O>
BIGMODEL_AVX512 void stream(const float* x, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y) {
  constexpr std::int64_t kLine = kCacheLineBytes / Element::kBytes;
  __m512 sums[O];
  for (int o = 0; o < O; ++o) sums[o] = _mm512_setzero_ps();
  auto ahead = reinterpret_cast<std::uintptr_t>(w) + static_cast<std::uintptr_t>(O * w_step);
  std::int64_t i = 0;
  for (; i + kLine <= k; i += kLine) {
    for (int o = 0; o < O; ++o, ahead += kCacheLineBytes) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    for (std::int64_t j = i; j < i + kLine; j += 16) {
      const __m512 a = _mm512_loadu_ps(x + j);
      for (int o = 0; o < O; ++o) sums[o] = _mm512_fmadd_ps(a, Element::load(w + o * w_step + j * Element::kBytes), sums[o]);
    }
  }
  for (; i < k; i += 16) {
    const auto mask = static_cast<__mmask16>(k - i >= 16 ? 0xFFFFu : (1u << (k - i)) - 1u);
    const __m512 a = _mm512_maskz_loadu_ps(mask, x + i);
    for (int o = 0; o < O; ++o) sums[o] = _mm512_fmadd_ps(a, Element::load(w + o * w_step + i * Element::kBytes, mask), sums[o]);
  }
  for (int o = 0; o < O; ++o) y[o] = _mm512_reduce_add_ps(sums[o]);
}

template <typename Block>
BIGMODEL_AVX512 BIGMODEL_INLINE void add_block(const float* x, const std::byte* at, __m512& sum) {
  const Block block(at);
  std::uint16_t half;
  std::memcpy(&half, at, sizeof half);
  const __m512 factor = _mm512_set1_ps(_cvtsh_ss(half));
  sum = _mm512_fmadd_ps(_mm512_loadu_ps(x), _mm512_mul_ps(factor, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(block.low))), sum);
  sum = _mm512_fmadd_ps(_mm512_loadu_ps(x + 16), _mm512_mul_ps(factor, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(block.high))), sum);
}

/// stream() for blocks.
template <typename Block, int O>
BIGMODEL_AVX512 void stream_blocks(const float* x, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y) {
  __m512 sums[O];
  for (int o = 0; o < O; ++o) sums[o] = _mm512_setzero_ps();
  auto ahead = reinterpret_cast<std::uintptr_t>(w) + static_cast<std::uintptr_t>(O * w_step);
  for (std::int64_t i = 0; i < k; i += kBlock, w += Block::kBytes) {
    for (int o = 0; o < O; ++o, ahead += Block::kBytes) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    for (int o = 0; o < O; ++o) add_block<Block>(x + i, w + o * w_step, sums[o]);
  }
  for (int o = 0; o < O; ++o) y[o] = _mm512_reduce_add_ps(sums[o]);
}

template <typename Block>
void block_tile(const void* x, std::int64_t, std::int64_t, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y, std::int64_t) {
  const auto* a = static_cast<const float*>(x);
  for (; outs >= 4; outs -= 4, w += 4 * w_step, y += 4) stream_blocks<Block, 4>(a, w, w_step, k, y);
  for (; outs >= 1; outs -= 1, w += w_step, y += 1) stream_blocks<Block, 1>(a, w, w_step, k, y);
}

/// stream() of bfloat16 activations; sums as in pair_tile().
template <int O>
BIGMODEL_AVX512_BF16 void pair_stream(const std::uint16_t* x, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y) {
  __m512 sums[O];
  for (int o = 0; o < O; ++o) sums[o] = _mm512_setzero_ps();
  auto ahead = reinterpret_cast<std::uintptr_t>(w) + static_cast<std::uintptr_t>(O * w_step);
  std::int64_t i = 0;
  for (; i + 32 <= k; i += 32) {
    for (int o = 0; o < O; ++o, ahead += kCacheLineBytes) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    const __m512i a = _mm512_loadu_si512(x + i);
    for (int o = 0; o < O; ++o) sums[o] = _mm512_dpbf16_ps(sums[o], (__m512bh)a, (__m512bh)_mm512_loadu_si512(w + o * w_step + i * 2));
  }
  if (i < k) {
    const auto mask = static_cast<__mmask32>((std::uint64_t{1} << (k - i)) - 1u);
    const __m512i a = _mm512_maskz_loadu_epi16(mask, x + i);
    for (int o = 0; o < O; ++o) sums[o] = _mm512_dpbf16_ps(sums[o], (__m512bh)a, (__m512bh)_mm512_maskz_loadu_epi16(mask, w + o * w_step + i * 2));
  }
  for (int o = 0; o < O; ++o) y[o] = _mm512_reduce_add_ps(sums[o]);
}

template <int R, int O>
BIGMODEL_AVX512_BF16 void pair_tile(const std::uint16_t* x, std::int64_t x_step, const std::byte* w, std::int64_t w_step, std::int64_t k, float* y, std::int64_t y_step) {
  __m512 sums[R][O];
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) sums[r][o] = _mm512_setzero_ps();
  }
  std::int64_t i = 0;
  for (; i + 32 <= k; i += 32) {
    __m512i b[O];
    for (int o = 0; o < O; ++o) b[o] = _mm512_loadu_si512(w + o * w_step + i * 2);
    for (int r = 0; r < R; ++r) {
      const __m512i a = _mm512_loadu_si512(x + r * x_step + i);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm512_dpbf16_ps(sums[r][o], (__m512bh)a, (__m512bh)b[o]);
    }
  }
  if (i < k) {
    const auto mask = static_cast<__mmask32>((std::uint64_t{1} << (k - i)) - 1u);
    __m512i b[O];
    for (int o = 0; o < O; ++o) b[o] = _mm512_maskz_loadu_epi16(mask, w + o * w_step + i * 2);
    for (int r = 0; r < R; ++r) {
      const __m512i a = _mm512_maskz_loadu_epi16(mask, x + r * x_step + i);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm512_dpbf16_ps(sums[r][o], (__m512bh)a, (__m512bh)b[o]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) y[r * y_step + o] = _mm512_reduce_add_ps(sums[r][o]);
  }
}

/// tile() of float32 over packed operands.
template <int R, int O>
BIGMODEL_AVX512 void packed_tile(const std::byte* x, const std::byte* w, std::int64_t lines, float* y, std::int64_t y_step) {
  __m512 sums[R][O];
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) sums[r][o] = _mm512_setzero_ps();
  }
  for (; lines > 0; --lines, x += kRows * kCacheLineBytes, w += kOuts * kCacheLineBytes) {
    __m512 b[O];
    for (int o = 0; o < O; ++o) b[o] = _mm512_load_ps(w + o * kCacheLineBytes);
    for (int r = 0; r < R; ++r) {
      const __m512 a = _mm512_load_ps(x + r * kCacheLineBytes);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm512_fmadd_ps(a, b[o], sums[r][o]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) y[r * y_step + o] = _mm512_reduce_add_ps(sums[r][o]);
  }
}

/// pair_tile() over packed operands.
template <int R, int O>
BIGMODEL_AVX512_BF16 void packed_pair_tile(const std::byte* x, const std::byte* w, std::int64_t lines, float* y, std::int64_t y_step) {
  __m512 sums[R][O];
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) sums[r][o] = _mm512_setzero_ps();
  }
  for (; lines > 0; --lines, x += kRows * kCacheLineBytes, w += kOuts * kCacheLineBytes) {
    __m512i b[O];
    for (int o = 0; o < O; ++o) b[o] = _mm512_load_si512(w + o * kCacheLineBytes);
    for (int r = 0; r < R; ++r) {
      const __m512i a = _mm512_load_si512(x + r * kCacheLineBytes);
      for (int o = 0; o < O; ++o) sums[r][o] = _mm512_dpbf16_ps(sums[r][o], (__m512bh)a, (__m512bh)b[o]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) y[r * y_step + o] = _mm512_reduce_add_ps(sums[r][o]);
  }
}

/// A tile of any size out of those that are compiled.
template <template <int, int> class Tile>
struct PackedTiles {
  template <int R>
  static void of_outs(const std::byte* x, const std::byte* w, std::int64_t outs, std::int64_t lines, float* y, std::int64_t y_step) {
    switch (outs) {
      case 6: return Tile<R, 6>::run(x, w, lines, y, y_step);
      case 5: return Tile<R, 5>::run(x, w, lines, y, y_step);
      case 4: return Tile<R, 4>::run(x, w, lines, y, y_step);
      case 3: return Tile<R, 3>::run(x, w, lines, y, y_step);
      case 2: return Tile<R, 2>::run(x, w, lines, y, y_step);
      default: return Tile<R, 1>::run(x, w, lines, y, y_step);
    }
  }
  static void of(const std::byte* x, std::int64_t rows, const std::byte* w, std::int64_t outs, std::int64_t lines, float* y, std::int64_t y_step) {
    switch (rows) {
      case 4: return of_outs<4>(x, w, outs, lines, y, y_step);
      case 3: return of_outs<3>(x, w, outs, lines, y, y_step);
      case 2: return of_outs<2>(x, w, outs, lines, y, y_step);
      default: return of_outs<1>(x, w, outs, lines, y, y_step);
    }
  }
};
template <int R, int O>
struct FloatTile {
  static void run(const std::byte* x, const std::byte* w, std::int64_t lines, float* y, std::int64_t y_step) { packed_tile<R, O>(x, w, lines, y, y_step); }
};
template <int R, int O>
struct PairTile {
  static void run(const std::byte* x, const std::byte* w, std::int64_t lines, float* y, std::int64_t y_step) { packed_pair_tile<R, O>(x, w, lines, y, y_step); }
};

template <typename Element, int R>
void tile_of_outs(const float* x, std::int64_t x_step, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y, std::int64_t y_step) {
  switch (outs) {
    case 6: return tile<Element, R, 6>(x, x_step, w, w_step, k, y, y_step);
    case 5: return tile<Element, R, 5>(x, x_step, w, w_step, k, y, y_step);
    case 4: return tile<Element, R, 4>(x, x_step, w, w_step, k, y, y_step);
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

template <int R>
void pair_tile_of_outs(const std::uint16_t* x, std::int64_t x_step, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y,
                       std::int64_t y_step) {
  switch (outs) {
    case 6: return pair_tile<R, 6>(x, x_step, w, w_step, k, y, y_step);
    case 5: return pair_tile<R, 5>(x, x_step, w, w_step, k, y, y_step);
    case 4: return pair_tile<R, 4>(x, x_step, w, w_step, k, y, y_step);
    case 3: return pair_tile<R, 3>(x, x_step, w, w_step, k, y, y_step);
    case 2: return pair_tile<R, 2>(x, x_step, w, w_step, k, y, y_step);
    default: return pair_tile<R, 1>(x, x_step, w, w_step, k, y, y_step);
  }
}

void pair_tile_of(const void* x, std::int64_t x_step, std::int64_t rows, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y,
                  std::int64_t y_step) {
  const auto* a = static_cast<const std::uint16_t*>(x);
  switch (rows) {
    case 4: return pair_tile_of_outs<4>(a, x_step, w, w_step, outs, k, y, y_step);
    case 3: return pair_tile_of_outs<3>(a, x_step, w, w_step, outs, k, y, y_step);
    case 2: return pair_tile_of_outs<2>(a, x_step, w, w_step, outs, k, y, y_step);
    default:
      // One after the other: a row is one stream, and its products of pairs are quick enough for that.
      for (; outs >= 1; --outs, w += w_step, ++y) pair_stream<1>(a, w, w_step, k, y);
  }
}

BIGMODEL_AVX512 void add_scaled(float a, const float* x, float* y, std::int64_t count) {
  const __m512 factor = _mm512_set1_ps(a);
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) _mm512_storeu_ps(y + i, _mm512_fmadd_ps(factor, _mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
  if (i < count) {
    const auto mask = static_cast<__mmask16>((1u << (count - i)) - 1u);
    _mm512_mask_storeu_ps(y + i, mask, _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i)));
  }
}

BIGMODEL_AVX512 void widen_f16(const std::uint16_t* x, float* to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i))));
  if (i < count) portable_dot_kernels().widen_f16(x + i, to + i, count - i);
}

BIGMODEL_AVX512 void weighted_sum(const float* weights, std::int64_t count, const float* rows, std::int64_t width, float* out) {
  std::int64_t d = 0;
  for (; d + 64 <= width; d += 64) {
    __m512 sums[4];
    for (int s = 0; s < 4; ++s) sums[s] = _mm512_setzero_ps();
    const float* row = rows + d;
    for (std::int64_t j = 0; j < count; ++j, row += width) {
      const __m512 w = _mm512_set1_ps(weights[j]);
      for (int s = 0; s < 4; ++s) sums[s] = _mm512_fmadd_ps(w, _mm512_loadu_ps(row + 16 * s), sums[s]);
    }
    for (int s = 0; s < 4; ++s) _mm512_storeu_ps(out + d + 16 * s, sums[s]);
  }
  for (; d < width; d += 16) {
    const auto mask = static_cast<__mmask16>(width - d >= 16 ? 0xFFFFu : (1u << (width - d)) - 1u);
    __m512 sum = _mm512_setzero_ps();
    const float* row = rows + d;
    for (std::int64_t j = 0; j < count; ++j, row += width) sum = _mm512_fmadd_ps(_mm512_set1_ps(weights[j]), _mm512_maskz_loadu_ps(mask, row), sum);
    _mm512_mask_storeu_ps(out + d, mask, sum);
  }
}

/// e^x as 2^n * e^f with |f| <= ln 2 / 2 and a polynomial of degree 6 for e^f (its Taylor series; the rest is below 2e-8).
BIGMODEL_AVX512 BIGMODEL_INLINE __m512 exponential(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-104.0F), _mm512_min_ps(_mm512_set1_ps(88.7F), x));   // in this order NaN passes
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504F)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752F), x);
  f = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6F), f);
  __m512 p = _mm512_set1_ps(1.0F / 5040.0F);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F / 720.0F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F / 120.0F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F / 24.0F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F / 6.0F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.5F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(p, n);
}

BIGMODEL_AVX512 float exp_and_sum(float* x, std::int64_t count, float top) {
  const __m512 shift = _mm512_set1_ps(top);
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<__mmask16>(count - i >= 16 ? 0xFFFFu : (1u << (count - i)) - 1u);
    const __m512 in = _mm512_maskz_loadu_ps(mask, x + i);
    // Never-seen keys are at minus infinity and must give zero to the bit.
    const __mmask16 seen = _mm512_mask_cmp_ps_mask(mask, in, _mm512_set1_ps(-__builtin_inff()), _CMP_NEQ_UQ);
    const __m512 e = _mm512_maskz_mov_ps(seen, exponential(_mm512_sub_ps(in, shift)));
    _mm512_mask_storeu_ps(x + i, mask, e);
    sum = _mm512_add_ps(sum, e);
  }
  return _mm512_reduce_add_ps(sum);
}

BIGMODEL_AVX512 void silu(float* x, std::int64_t count) {
  const __m512 one = _mm512_set1_ps(1.0F);
  for (std::int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<__mmask16>(count - i >= 16 ? 0xFFFFu : (1u << (count - i)) - 1u);
    const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
    const __m512 e = exponential(_mm512_sub_ps(_mm512_setzero_ps(), v));
    _mm512_mask_storeu_ps(x + i, mask, _mm512_div_ps(v, _mm512_add_ps(one, e)));
  }
}

BIGMODEL_AVX512_BF16 void round_to_bf16(const float* x, std::uint16_t* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<__mmask16>(count - i >= 16 ? 0xFFFFu : (1u << (count - i)) - 1u);
    const __m256bh narrow = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i));
    _mm256_mask_storeu_epi16(to + i, mask, (__m256i)narrow);
  }
}

}  // namespace

const DotKernels* avx512_dot_kernels(bool with_bf16) {
  static const DotKernels kPlain{.tile_rows = kRows, .tile_outs = kOuts, .f32 = &tile_of<F32>, .bf16 = &tile_of<Bf16>, .f16 = &tile_of<F16>, .q8_0 = &block_tile<Q8Integers>, .q4_0 = &block_tile<Q4Integers>,
                                 .bf16_pairs = nullptr, .f32_packed = &PackedTiles<FloatTile>::of, .bf16_packed = nullptr,
                                 .add_scaled = &add_scaled, .weighted_sum = &weighted_sum, .exp_and_sum = &exp_and_sum, .silu = &silu, .widen_f16 = &widen_f16, .round_to_bf16 = portable_dot_kernels().round_to_bf16};
  static const DotKernels kWithBf16{.tile_rows = kRows, .tile_outs = kOuts, .f32 = &tile_of<F32>, .bf16 = &tile_of<Bf16>, .f16 = &tile_of<F16>, .q8_0 = &block_tile<Q8Integers>, .q4_0 = &block_tile<Q4Integers>,
                                 .bf16_pairs = &pair_tile_of, .f32_packed = &PackedTiles<FloatTile>::of, .bf16_packed = &PackedTiles<PairTile>::of,
                                    .add_scaled = &add_scaled, .weighted_sum = &weighted_sum, .exp_and_sum = &exp_and_sum, .silu = &silu, .widen_f16 = &widen_f16, .round_to_bf16 = &round_to_bf16};
  return with_bf16 ? &kWithBf16 : &kPlain;
}

}  // namespace bigmodel::ops
#else
namespace bigmodel::ops {
const DotKernels* avx512_dot_kernels(bool) { return nullptr; }
}  // namespace bigmodel::ops
#endif
