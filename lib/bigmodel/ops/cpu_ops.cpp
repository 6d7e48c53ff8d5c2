// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/cpu_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/linear.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

/// y = residual + scale * y.
void finish(float* y, std::int64_t count, const LinearEnd& end) {
  if (end.residual == nullptr && end.scale == 1.0F) return;
  for (std::int64_t i = 0; i < count; ++i) y[i] = (end.residual == nullptr ? 0.0F : end.residual[i]) + end.scale * y[i];
}

/// Rounded to the nearest even.
std::uint16_t to_bfloat16(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

std::uint16_t to_float16(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const float magnitude = std::abs(v);
  if (!(magnitude <= 3.0e38F)) return static_cast<std::uint16_t>(sign | (std::isnan(v) ? 0x7E00U : 0x7C00U));
  if (magnitude >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x1p-14F) return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24F)));
  std::uint32_t m = bits & 0x7FFFFFFFU;
  m += 0xFFFU + ((m >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>((m >> 13) - (112U << 10)));
}

}  // namespace

void CpuOps::linear(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const {
  if (end.residual != y) {
    ops::linear(cpu_, x, rows, weight, bias, y);
    finish(y, rows * weight.size(0), end);
    return;
  }
  std::vector<float> product(static_cast<std::size_t>(rows * weight.size(0)));
  ops::linear(cpu_, x, rows, weight, bias, product.data());
  finish(product.data(), rows * weight.size(0), end);
  std::ranges::copy(product, y);
}

void CpuOps::linear_transposed(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) const {
  ops::linear_transposed(cpu_, x, rows, weight, bias, y);
}

void CpuOps::linear_group(const float* x, std::int64_t rows, std::span<const LinearPart> parts, const LinearEnd& end) const {
  for (const LinearPart& part : parts) linear(x, rows, part.weight, part.bias, part.y, end);
}

void CpuOps::gated_linear(const float* x, std::int64_t rows, const GatedWeights& weights, Activation act, float* y, const LinearEnd&) const {
  const std::int64_t count = rows * weights.gate.size(0);
  ops::linear(cpu_, x, rows, weights.gate, weights.gate_bias, y);
  std::vector<float> up(static_cast<std::size_t>(count));
  ops::linear(cpu_, x, rows, weights.up, weights.up_bias, up.data());
  if (weights.gate_scale != 1.0F) scale(y, weights.gate_scale, count);
  activate(act, y, count);
  multiply(y, up.data(), count);
}

void CpuOps::norm(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) const {
  if (kind == NormKind::rms) {
    rms_norm(x, rows, size, weights, y);
  } else {
    layer_norm(x, rows, size, weights, y);
  }
}

void CpuOps::add_norm(NormKind kind, const float* x, const float* delta, float scale, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* sum, float* y) const {
  if (sum != x) std::copy_n(x, rows * size, sum);
  add_scaled(sum, delta, scale, rows * size);
  norm(kind, sum, rows, size, weights, y);
}

void CpuOps::activate(Activation act, float* x, std::int64_t count) const { ops::activate(cpu_, act, x, count); }

void CpuOps::activate_times(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows, std::int64_t width, float* y,
                            std::int64_t y_stride) const {
  constexpr std::int64_t kColumns = 4096;
  const std::int64_t pieces = (width + kColumns - 1) / kColumns;
  const CpuContext alone{nullptr, cpu_.isa, cpu_.bf16_products};
  cpu_.parallel_for(rows * pieces, 1, [&](std::int64_t begin, std::int64_t end, int) {
    float part[kColumns];
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t r = n / pieces;
      const std::int64_t first = n % pieces * kColumns;
      const std::int64_t count = std::min(kColumns, width - first);
      std::copy_n(gate + r * gate_stride + first, count, part);
      ops::activate(alone, act, part, count);
      const float* factor = times + r * times_stride + first;
      float* to = y + r * y_stride + first;
      for (std::int64_t i = 0; i < count; ++i) to[i] = part[i] * factor[i];
    }
  });
}

void CpuOps::add_scaled(float* a, const float* b, float scale, std::int64_t count) const {
  if (scale == 1.0F) {
    for (std::int64_t i = 0; i < count; ++i) a[i] += b[i];
  } else {
    for (std::int64_t i = 0; i < count; ++i) a[i] += scale * b[i];
  }
}

void CpuOps::multiply(float* a, const float* b, std::int64_t count) const {
  for (std::int64_t i = 0; i < count; ++i) a[i] *= b[i];
}

void CpuOps::scale(float* x, float factor, std::int64_t count) const {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factor;
}

void CpuOps::clamp(float* x, float limit, std::int64_t count) const {
  for (std::int64_t i = 0; i < count; ++i) x[i] = std::clamp(x[i], -limit, limit);
}

void CpuOps::soft_cap(float* x, float cap, std::int64_t count) const {
  for (std::int64_t i = 0; i < count; ++i) x[i] = cap * std::tanh(x[i] / cap);
}

void CpuOps::scale_columns(float* x, std::int64_t rows, std::int64_t width, const TensorView& by) const {
  std::vector<float> factors(static_cast<std::size_t>(width));
  ops::widen(by, 0, width, factors.data());
  for (std::int64_t r = 0; r < rows; ++r, x += width) multiply(x, factors.data(), width);
}

void CpuOps::scale_rows(float* x, std::int64_t rows, std::int64_t width, const float* by) const {
  for (std::int64_t r = 0; r < rows; ++r, x += width) scale(x, by[r], width);
}

void CpuOps::fill(float* x, float value, std::int64_t count) const { std::fill_n(x, count, value); }

void CpuOps::copy(const float* from, float* to, const CopyShape& s) const {
  for (std::int64_t i = 0; i < s.outer; ++i) {
    for (std::int64_t j = 0; j < s.middle; ++j) {
      const float* source = from + i * s.from_outer + j * s.from_middle;
      float* target = to + i * s.to_outer + j * s.to_middle;
      for (std::int64_t k = 0; k < s.inner; ++k) std::memcpy(target + k * s.to_inner, source + k * s.from_inner, static_cast<std::size_t>(s.width) * sizeof(float));
    }
  }
}

void CpuOps::gather_rows(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) const {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * width, from + rows[i] * width, static_cast<std::size_t>(width) * sizeof(float));
}

void CpuOps::clear_rows(float* x, const std::uint8_t* valid, std::int64_t rows, std::int64_t width) const {
  for (std::int64_t r = 0; r < rows; ++r) {
    if (valid[r] == 0) std::fill_n(x + r * width, width, 0.0F);
  }
}

void CpuOps::embedding(const TensorView& table, const std::int64_t* ids, std::int64_t count, float* y) const {
  const std::int64_t size = table.size(1);
  for (std::int64_t i = 0; i < count; ++i) ops::widen(table, ids[i] * size, size, y + i * size);
}

void CpuOps::widen(const TensorView& from, float* y) const { ops::widen(from, 0, element_count(from.shape), y); }

void CpuOps::rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles& angles) const {
  ops::rope(x, rows, heads, head_dim, {angles.positions, static_cast<std::size_t>(rows)}, {angles.inv_freq, static_cast<std::size_t>(angles.pairs)}, angles.gain, angles.pairing);
}

void CpuOps::append_to_cache(const float* from, std::int64_t count, const CachePlace& place) const {
  const std::int64_t past = place.past_there == nullptr ? place.past : *place.past_there;
  const auto width = static_cast<std::size_t>(place.dim);
  for (std::int64_t b = 0; b < place.batch; ++b) {
    for (std::int64_t n = 0; n < count; ++n) {
      for (std::int64_t h = 0; h < place.kv_heads; ++h, from += place.dim) {
        const std::int64_t at = ((b * place.kv_heads + h) * place.capacity + past + n) * place.dim;
        if (place.dtype == DType::float32) {
          std::memcpy(place.data + at * 4, from, width * sizeof(float));
        } else if (place.dtype == DType::bfloat16 || place.dtype == DType::float16) {
          for (std::size_t i = 0; i < width; ++i) {
            const std::uint16_t v = place.dtype == DType::bfloat16 ? to_bfloat16(from[i]) : to_float16(from[i]);
            std::memcpy(place.data + (at + static_cast<std::int64_t>(i)) * 2, &v, sizeof v);
          }
        } else {
          throw UnsupportedError(fmt::format("a cache of {} on the processor", name(place.dtype)));
        }
      }
    }
  }
}

void CpuOps::attention(const AttentionInput& in, const CacheView& view, const AttentionRule& rule, float* out) const {
  AttentionInput now = in;
  if (view.past_there != nullptr) {
    now.first_query = *view.past_there;
    now.keys = now.first_query + in.queries;
  }
  ops::attention(cpu_, now, rule, out, view.dtype);
}

void CpuOps::argmax(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) const {
  for (std::int64_t r = 0; r < rows; ++r, x += width) ids[r] = std::max_element(x, x + width) - x;
}

void CpuOps::advance(std::int64_t* counters, std::int64_t count, std::int64_t by) const {
  for (std::int64_t i = 0; i < count; ++i) counters[i] += by;
}

}  // namespace bigmodel::ops
