// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "bigmodel/ops/activation.h"
#include "bigmodel/ops/dot_kernels.h"

namespace bigmodel::ops {
namespace {

float sigmoid_of(float x) noexcept { return 1.0F / (1.0F + std::exp(-x)); }
float softplus_of(float x) noexcept { return x > 20.0F ? x : std::log1p(std::exp(x)); }
float gelu_of(float x) noexcept { return 0.5F * x * (1.0F + std::erf(x * 0.70710678118654752F)); }

}  // namespace

float activate(Activation function, float x) noexcept {
  switch (function) {
    case Activation::identity: return x;
    case Activation::relu: return std::max(x, 0.0F);
    case Activation::relu6: return std::clamp(x, 0.0F, 6.0F);
    case Activation::relu_squared: return x > 0 ? x * x : 0.0F;
    case Activation::leaky_relu: return x > 0 ? x : 0.01F * x;
    case Activation::silu: return x * sigmoid_of(x);
    case Activation::sigmoid: return sigmoid_of(x);
    case Activation::tanh: return std::tanh(x);
    case Activation::mish: return x * std::tanh(softplus_of(x));
    case Activation::softplus: return softplus_of(x);
    case Activation::hardswish: return x * std::clamp(x + 3.0F, 0.0F, 6.0F) / 6.0F;
    case Activation::gelu: return gelu_of(x);
    case Activation::gelu_tanh: return 0.5F * x * (1.0F + std::tanh(0.79788456080286536F * (x + 0.044715F * x * x * x)));
    case Activation::gelu_quick: return x * sigmoid_of(1.702F * x);
    case Activation::gelu_clipped_10: return std::clamp(gelu_of(x), -10.0F, 10.0F);
    case Activation::laplace: return 0.5F * (1.0F + std::erf((x - 0.707107F) / (0.282095F * 1.41421356F)));
  }
  return x;
}

void activate(const CpuContext& cpu, Activation function, float* x, std::int64_t count) {
  const DotKernels& kernels = dot_kernels(cpu.isa);
  cpu.parallel_for(count, 4096, [&](std::int64_t begin, std::int64_t end, int) {
    if (function == Activation::silu) {
      kernels.silu(x + begin, end - begin);
    } else {
      activate(function, x + begin, end - begin);
    }
  });
}

void activate(Activation function, float* x, std::int64_t count) noexcept {
  for (std::int64_t i = 0; i < count; ++i) x[i] = activate(function, x[i]);
}

}  // namespace bigmodel::ops
