// SPDX-License-Identifier: Apache-2.0
// The portable kernels, and the choice between all of them.
#include "bigmodel/ops/dot_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "bigmodel/ops/blocks.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

constexpr std::int64_t kLanes = 16;

float total(float (&sums)[kLanes]) {
  for (std::int64_t step = kLanes / 2; step > 0; step /= 2) {
    for (std::int64_t lane = 0; lane < step; ++lane) sums[lane] += sums[lane + step];
  }
  return sums[0];
}

template <typename Element>
void tile(const void* x, std::int64_t x_step, std::int64_t rows, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y,
          std::int64_t y_step) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* a = static_cast<const float*>(x) + r * x_step;
    for (std::int64_t o = 0; o < outs; ++o) {
      const std::byte* b = w + o * w_step;
      float sums[kLanes] = {};
      std::int64_t i = 0;
      for (; i + kLanes <= k; i += kLanes) {
        for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * Element::load(b + (i + lane) * Element::kBytes);
      }
      for (std::int64_t lane = 0; i < k; ++i, ++lane) sums[lane] += a[i] * Element::load(b + i * Element::kBytes);
      y[r * y_step + o] = total(sums);
    }
  }
}

template <typename Block>
void block_tile(const void* x, std::int64_t, std::int64_t, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k, float* y, std::int64_t) {
  const auto* a = static_cast<const float*>(x);
  for (std::int64_t o = 0; o < outs; ++o) {
    float sums[kLanes] = {};
    for (std::int64_t i = 0; i < k; i += kBlock) {
      const std::byte* block = w + o * w_step + i / kBlock * Block::kBytes;
      const float factor = factor_of(block);
      for (std::int64_t j = 0; j < kBlock; ++j) sums[j % kLanes] += a[i + j] * (factor * static_cast<float>(Block::integer(block, j)));
    }
    y[o] = total(sums);
  }
}

void add_scaled(float a, const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += a * x[i];
}

void weighted_sum(const float* weights, std::int64_t count, const float* rows, std::int64_t width, float* out) {
  for (std::int64_t d = 0; d < width; ++d) out[d] = 0;
  for (std::int64_t j = 0; j < count; ++j) add_scaled(weights[j], rows + j * width, out, width);
}

float exp_and_sum(float* x, std::int64_t count, float top) {
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - top);
  return sum;
}

void silu(float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) x[i] = x[i] / (1.0F + std::exp(-x[i]));
}

void widen_f16(const std::uint16_t* x, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = Float16::load(reinterpret_cast<const std::byte*>(x + i));
}

void round_to_bf16(const float* x, std::uint16_t* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(x[i]);
    to[i] = static_cast<std::uint16_t>(std::isnan(x[i]) ? bits >> 16 | 0x40u : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
  }
}

}  // namespace

const DotKernels& portable_dot_kernels() {
  static constexpr DotKernels kKernels{.tile_rows = 8, .tile_outs = 8, .f32 = &tile<Float32>, .bf16 = &tile<BFloat16>, .f16 = &tile<Float16>,
                                       .q8_0 = &block_tile<Q8Block>, .q4_0 = &block_tile<Q4Block>, .bf16_pairs = nullptr, .add_scaled = &add_scaled, .weighted_sum = &weighted_sum, .exp_and_sum = &exp_and_sum, .silu = &silu, .widen_f16 = &widen_f16,
                                       .round_to_bf16 = &round_to_bf16};
  return kKernels;
}

const DotKernels& dot_kernels(CpuIsa isa) {
  const DotKernels* found = nullptr;
  if (isa >= CpuIsa::avx512) found = avx512_dot_kernels(isa >= CpuIsa::avx512_bf16);
  if (found == nullptr && isa >= CpuIsa::avx2) found = avx2_dot_kernels();
  return found == nullptr ? portable_dot_kernels() : *found;
}

std::int64_t packed_bytes(std::int64_t count, std::int64_t group, std::int64_t k, std::int64_t element_bytes) {
  const std::int64_t lines = (k * element_bytes + kCacheLineBytes - 1) / kCacheLineBytes;
  return (count + group - 1) / group * group * lines * kCacheLineBytes;
}

void pack_rows(const std::byte* from, std::int64_t step_bytes, std::int64_t count, std::int64_t group, std::int64_t k, std::int64_t element_bytes, std::byte* to) {
  const std::int64_t bytes = k * element_bytes;
  const std::int64_t whole = bytes / kCacheLineBytes;
  for (std::int64_t first = 0; first < count; first += group, from += group * step_bytes) {
    const std::int64_t here = std::min(group, count - first);
    for (std::int64_t line = 0; line * kCacheLineBytes < bytes; ++line) {
      for (std::int64_t r = 0; r < group; ++r, to += kCacheLineBytes) {
        const std::byte* at = from + r * step_bytes + line * kCacheLineBytes;
        if (r >= here) {
          std::memset(to, 0, kCacheLineBytes);
        } else if (line < whole) {
          std::memcpy(to, at, kCacheLineBytes);
        } else {
          const auto rest = static_cast<std::size_t>(bytes - line * kCacheLineBytes);
          std::memcpy(to, at, rest);
          std::memset(to + rest, 0, kCacheLineBytes - rest);
        }
      }
    }
  }
}

}  // namespace bigmodel::ops
