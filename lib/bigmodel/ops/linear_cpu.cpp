// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/linear_cpu.h"

#include <vector>

#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

/// Sixteen running sums, added up in one fixed order, so that the result depends on nothing but the two vectors.
float dot(const float* a, const float* b, std::int64_t count) {
  constexpr std::int64_t kLanes = 16;
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (std::int64_t k = 0; i < count; ++i, ++k) sums[k] += a[i] * b[i];
  for (std::int64_t step = kLanes / 2; step > 0; step /= 2) {
    for (std::int64_t k = 0; k < step; ++k) sums[k] += sums[k + step];
  }
  return sums[0];
}

}  // namespace

void linear_cpu(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) {
  const std::int64_t out = weight.size(0);
  const std::int64_t in = weight.size(1);
  std::vector<float> row(static_cast<std::size_t>(in));
  for (std::int64_t o = 0; o < out; ++o) {
    widen(weight, o * in, in, row.data());
    float b = 0;
    if (bias != nullptr) widen(*bias, o, 1, &b);
    for (std::int64_t r = 0; r < rows; ++r) y[r * out + o] = dot(x + r * in, row.data(), in) + b;
  }
}

void linear_transposed_cpu(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) {
  const std::int64_t in = weight.size(0);
  const std::int64_t out = weight.size(1);
  std::vector<float> row(static_cast<std::size_t>(out), 0.0F);
  if (bias != nullptr) widen(*bias, 0, out, row.data());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < out; ++o) y[r * out + o] = row[static_cast<std::size_t>(o)];
  }
  for (std::int64_t i = 0; i < in; ++i) {
    widen(weight, i * out, out, row.data());
    for (std::int64_t r = 0; r < rows; ++r) {
      const float a = x[r * in + i];
      float* to = y + r * out;
      for (std::int64_t o = 0; o < out; ++o) to[o] += a * row[static_cast<std::size_t>(o)];
    }
  }
}

}  // namespace bigmodel::ops
