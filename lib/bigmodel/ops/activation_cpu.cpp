// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/activation.h"
#include "bigmodel/ops/activation_formulas.h"
#include "bigmodel/ops/dot_kernels.h"

namespace bigmodel::ops {

float activate(Activation function, float x) noexcept { return activation_of(function, x); }

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
