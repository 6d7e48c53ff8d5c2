// SPDX-License-Identifier: Apache-2.0
// RMS and layer norms of float32 rows.
#pragma once

#include "bigmodel/core/tensor_view.h"

namespace bigmodel::ops {

struct NormWeights {
  const TensorView* weight = nullptr;  ///< [size], or [groups, size]: row r of x takes weight row r % groups; null: ones
  const TensorView* bias = nullptr;    ///< shaped like weight; null: zeros
  float eps = 1e-6F;
  float offset = 0;                    ///< added to the stored weight (models that keep weight - 1)
};

/// y = x / sqrt(mean(x^2) + eps) * weight, for each of `rows` rows of `size`. In place is allowed.
void rms_norm(const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y);

/// y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias. In place is allowed.
void layer_norm(const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y);

}  // namespace bigmodel::ops
