// SPDX-License-Identifier: Apache-2.0
// CPU kernels behind ops/linear.h.
#pragma once

#include "bigmodel/core/tensor_view.h"
#include "bigmodel/device/cpu/cpu_context.h"

namespace bigmodel::ops {

void linear_cpu(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y);
void linear_transposed_cpu(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y);

}  // namespace bigmodel::ops
