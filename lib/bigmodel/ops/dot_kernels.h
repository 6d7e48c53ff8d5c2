// SPDX-License-Identifier: Apache-2.0
// The inner loops of matrix products and attention, one set for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bigmodel/core/dtype.h"
#include "bigmodel/device/cpu/cpu_context.h"

namespace bigmodel::ops {

/// y[r * y_step + o] = the sum over i < k of x[r * x_step + i] * w[o][i], for `rows` <= tile_rows and `outs` <= tile_outs; with one row,
/// which is all about reading the weights, `outs` may be any number. w_step is in bytes. Every sum has its own lanes and one fixed order, so that it does not depend on rows and outs.
using DotTile = void (*)(const void* x, std::int64_t x_step, std::int64_t rows, const std::byte* w, std::int64_t w_step, std::int64_t outs, std::int64_t k,
                         float* y, std::int64_t y_step);

inline constexpr std::int64_t kCacheLineBytes = 64;

/// DotTile over packed operands (pack_rows): x in groups of tile_rows, w in groups of tile_outs, whole cache lines of k. The same sums.
using PackedTile = void (*)(const std::byte* x, std::int64_t rows, const std::byte* w, std::int64_t outs, std::int64_t lines, float* y, std::int64_t y_step);

struct DotKernels {
  std::int64_t tile_rows = 1, tile_outs = 1;
  DotTile f32 = nullptr, bf16 = nullptr, f16 = nullptr;   ///< of float32 activations with weights of that dtype
  /// Of float32 activations with blocks, one row only; sums as in `f32` of the values that the blocks stand for.
  DotTile q8_0 = nullptr, q4_0 = nullptr;
  DotTile bf16_pairs = nullptr;                           ///< of bfloat16 activations with bfloat16 weights; null: the processor has no such product
  /// Of float32 with float32, and of bfloat16 with bfloat16; null: there are none.
  PackedTile f32_packed = nullptr, bf16_packed = nullptr;
  /// y += a * x.
  void (*add_scaled)(float a, const float* x, float* y, std::int64_t count) = nullptr;
  /// out = the sum over j < count of weights[j] * row j; rows of `width`, one behind the other.
  void (*weighted_sum)(const float* weights, std::int64_t count, const float* rows, std::int64_t width, float* out) = nullptr;
  /// x = exp(x - top), where x <= top; returns the sum. Within 2e-7 of the true value, relatively.
  float (*exp_and_sum)(float* x, std::int64_t count, float top) = nullptr;
  /// x * sigmoid(x), in place.
  void (*silu)(float* x, std::int64_t count) = nullptr;
  /// to = x, exactly.
  void (*widen_f16)(const std::uint16_t* x, float* to, std::int64_t count) = nullptr;
  /// to = x in bfloat16, rounded to nearest even.
  void (*round_to_bf16)(const float* x, std::uint16_t* to, std::int64_t count) = nullptr;

  DotTile of(DType weight) const {
    switch (weight) {
      case DType::float32: return f32;
      case DType::bfloat16: return bf16;
      case DType::q8_0: return q8_0;
      case DType::q4_0: return q4_0;
      default: return f16;
    }
  }
};

/// `count` rows of `k` elements of `element_bytes` each, `step_bytes` apart, as tiles read them: of each `group` rows the first 64 bytes, then the
/// next, and so on. Rows that a matrix has less than a group, and bytes behind a row's end, are zeros. `to`: packed_bytes().
void pack_rows(const std::byte* from, std::int64_t step_bytes, std::int64_t count, std::int64_t group, std::int64_t k, std::int64_t element_bytes, std::byte* to);
std::int64_t packed_bytes(std::int64_t count, std::int64_t group, std::int64_t k, std::int64_t element_bytes);

const DotKernels& portable_dot_kernels();
/// Null where this build has none.
const DotKernels* avx2_dot_kernels();
const DotKernels* avx512_dot_kernels(bool with_bf16);

const DotKernels& dot_kernels(CpuIsa isa);

}  // namespace bigmodel::ops
