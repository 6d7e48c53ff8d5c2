// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/encode_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/core/error.h"
#include "bigmodel/ops/blocks.h"

namespace bigmodel {
namespace {

using ops::kBlock;

constexpr float kLargestHalf = 65504.0F;

/// Stores the factor and gives back what a reader will see.
float put_factor(float factor, std::byte* out) {
  factor = std::clamp(factor, -kLargestHalf, kLargestHalf);
  convert_elements(DType::float32, std::as_bytes(std::span(&factor, 1)), DType::float16, {out, 2});
  return ops::factor_of(out);
}

int rounded(float value, float factor, float shift, int low, int high) {
  return factor == 0 ? 0 : static_cast<int>(std::clamp(std::round(value / factor) + shift, static_cast<float>(low), static_cast<float>(high)));
}

void encode_q8(const float* x, std::byte* out) {
  float top = 0;
  for (std::int64_t i = 0; i < kBlock; ++i) top = std::max(top, std::abs(x[i]));
  const float factor = put_factor(top / 127.0F, out);
  for (std::int64_t i = 0; i < kBlock; ++i) out[2 + i] = static_cast<std::byte>(rounded(x[i], factor, 0, -127, 127));
}

/// The value of the largest magnitude becomes -8, as there is no 8.
void encode_q4(const float* x, std::byte* out) {
  float extreme = 0;
  for (std::int64_t i = 0; i < kBlock; ++i) {
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  }
  const float factor = put_factor(extreme / -8.0F, out);
  const auto half = [&](float value) { return static_cast<unsigned>(factor == 0 ? 8 : rounded(value, factor, 8, 0, 15)); };
  for (std::int64_t i = 0; i < kBlock / 2; ++i) out[2 + i] = static_cast<std::byte>(half(x[i]) | half(x[i + kBlock / 2]) << 4U);
}

/// All ones and a factor that is no number: NaN whatever the integers are.
void encode_nan(std::int64_t size_bytes, std::byte* out) {
  std::memset(out, 0x11, static_cast<std::size_t>(size_bytes));
  put_factor(std::numeric_limits<float>::quiet_NaN(), out);
}

}  // namespace

void encode_blocks(DType dtype, std::span<const float> values, std::span<std::byte> out) {
  BIGMODEL_ASSERT(block_size(dtype) == kBlock && values.size() % kBlock == 0);
  BIGMODEL_ASSERT(out.size() == static_cast<std::size_t>(byte_count(dtype, static_cast<std::int64_t>(values.size()))));
  const std::int64_t step = byte_count(dtype, kBlock);
  for (std::size_t i = 0; i < values.size(); i += kBlock) {
    std::byte* to = out.data() + static_cast<std::ptrdiff_t>(i / kBlock) * step;
    const std::span<const float> block = values.subspan(i, kBlock);
    if (!std::ranges::all_of(block, [](float v) { return std::isfinite(v); })) encode_nan(step, to);
    else if (dtype == DType::q8_0) encode_q8(block.data(), to);
    else encode_q4(block.data(), to);
  }
}

}  // namespace bigmodel
