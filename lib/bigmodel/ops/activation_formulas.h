// SPDX-License-Identifier: Apache-2.0
// The formulas of activations, for processors and cards alike.
#pragma once

#include <math.h>

#include "bigmodel/ops/activation.h"

#ifdef __CUDACC__
#define BIGMODEL_HOST_DEVICE __host__ __device__
#else
#define BIGMODEL_HOST_DEVICE
#endif

namespace bigmodel::ops {

BIGMODEL_HOST_DEVICE inline float sigmoid_of(float x) { return 1.0F / (1.0F + expf(-x)); }
BIGMODEL_HOST_DEVICE inline float softplus_of(float x) { return x > 20.0F ? x : log1pf(expf(x)); }
BIGMODEL_HOST_DEVICE inline float gelu_of(float x) { return 0.5F * x * (1.0F + erff(x * 0.70710678118654752F)); }
/// Not-a-number stays what it is.
BIGMODEL_HOST_DEVICE inline float clamped(float x, float least, float most) { return x < least ? least : (most < x ? most : x); }

/// Exact to the rounding of the functions it is made of.
BIGMODEL_HOST_DEVICE inline float activation_of(Activation function, float x) {
  switch (function) {
    case Activation::identity: return x;
    case Activation::relu: return x < 0.0F ? 0.0F : x;
    case Activation::relu6: return clamped(x, 0.0F, 6.0F);
    case Activation::relu_squared: return x > 0 ? x * x : 0.0F;
    case Activation::leaky_relu: return x > 0 ? x : 0.01F * x;
    case Activation::silu: return x * sigmoid_of(x);
    case Activation::sigmoid: return sigmoid_of(x);
    case Activation::tanh: return tanhf(x);
    case Activation::mish: return x * tanhf(softplus_of(x));
    case Activation::softplus: return softplus_of(x);
    case Activation::hardswish: return x * clamped(x + 3.0F, 0.0F, 6.0F) / 6.0F;
    case Activation::gelu: return gelu_of(x);
    case Activation::gelu_tanh: return 0.5F * x * (1.0F + tanhf(0.79788456080286536F * (x + 0.044715F * x * x * x)));
    case Activation::gelu_quick: return x * sigmoid_of(1.702F * x);
    case Activation::gelu_clipped_10: return clamped(gelu_of(x), -10.0F, 10.0F);
    case Activation::laplace: return 0.5F * (1.0F + erff((x - 0.707107F) / (0.282095F * 1.41421356F)));
  }
  return x;
}

}  // namespace bigmodel::ops
