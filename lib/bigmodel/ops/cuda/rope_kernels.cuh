// SPDX-License-Identifier: Apache-2.0
// KernelOps' rotary embedding: a thread per pair.
#pragma once

#include "bigmodel/core/error.h"
#include "bigmodel/ops/cuda/kernel_language.h"
#include "bigmodel/ops/cuda/kernel_ops.h"
#include "bigmodel/ops/cuda/launch_shapes.h"

namespace bigmodel::ops {

static __global__ void rope_kernel(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles angles) {
  const std::int64_t count = rows * heads * angles.pairs;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::int64_t pair = i % angles.pairs, head = i / angles.pairs;
    // The angle is a float32 product in the reference too; for large positions its rounding shows.
    const float angle = __fmul_rn(static_cast<float>(angles.positions[head / heads]), angles.inv_freq[pair]);
    float sine, cosine;
    sincosf(angle, &sine, &cosine);
    sine *= angles.gain;
    cosine *= angles.gain;
    float* at = x + head * head_dim;
    const bool half = angles.pairing == RopePairing::half;
    float* first = at + (half ? pair : 2 * pair);
    float* second = at + (half ? pair + angles.pairs : 2 * pair + 1);
    const float a = *first, b = *second;
    *first = a * cosine - b * sine;
    *second = b * cosine + a * sine;
  }
}

template <class Launcher>
void KernelOps<Launcher>::rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles& angles) const {
  BIGMODEL_ASSERT(2 * angles.pairs <= head_dim);
  const std::int64_t count = rows * heads * angles.pairs;
  if (count != 0) launcher_.launch(&rope_kernel, element_shape(count), x, rows, heads, head_dim, angles);
}

}  // namespace bigmodel::ops
