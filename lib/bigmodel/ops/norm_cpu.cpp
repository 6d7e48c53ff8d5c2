// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/norm.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

struct Affine {
  std::vector<float> weight, bias;  ///< groups * size; empty: none
  std::int64_t groups = 1;
};

Affine affine(std::int64_t size, const NormWeights& w) {
  Affine out;
  const auto read = [&](const TensorView* t, std::vector<float>& to) {
    if (t == nullptr) return;
    const std::int64_t count = element_count(t->shape);
    BIGMODEL_ASSERT(size > 0 && count % size == 0);
    out.groups = count / size;
    to.resize(static_cast<std::size_t>(count));
    widen(*t, 0, count, to.data());
  };
  read(w.weight, out.weight);
  read(w.bias, out.bias);
  if (w.offset != 0) {
    for (float& v : out.weight) v += w.offset;
  }
  return out;
}

void apply(const Affine& a, std::int64_t row, std::int64_t size, float* y) {
  const auto from = static_cast<std::size_t>(row % a.groups * size);
  for (std::int64_t i = 0; i < size; ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (!a.weight.empty()) y[i] *= a.weight[from + k];
    if (!a.bias.empty()) y[i] += a.bias[from + k];
  }
}

}  // namespace

void rms_norm(const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) {
  const Affine a = affine(size, weights);
  for (std::int64_t r = 0; r < rows; ++r, x += size, y += size) {
    double sum = 0;
    for (std::int64_t i = 0; i < size; ++i) sum += static_cast<double>(x[i]) * x[i];
    const float scale = 1.0F / std::sqrt(static_cast<float>(sum / static_cast<double>(size)) + weights.eps);
    for (std::int64_t i = 0; i < size; ++i) y[i] = x[i] * scale;
    apply(a, r, size, y);
  }
}

void layer_norm(const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) {
  const Affine a = affine(size, weights);
  for (std::int64_t r = 0; r < rows; ++r, x += size, y += size) {
    double sum = 0;
    for (std::int64_t i = 0; i < size; ++i) sum += x[i];
    const auto mean = static_cast<float>(sum / static_cast<double>(size));
    double squares = 0;
    for (std::int64_t i = 0; i < size; ++i) squares += static_cast<double>(x[i] - mean) * (x[i] - mean);
    const float scale = 1.0F / std::sqrt(static_cast<float>(squares / static_cast<double>(size)) + weights.eps);
    for (std::int64_t i = 0; i < size; ++i) y[i] = (x[i] - mean) * scale;
    apply(a, r, size, y);
  }
}

}  // namespace bigmodel::ops
