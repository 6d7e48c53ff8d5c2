// SPDX-License-Identifier: Apache-2.0
// Matrix products of float32 activations with stored weights.
#pragma once

#include "bigmodel/core/tensor_view.h"
#include "bigmodel/device/cpu/cpu_context.h"

namespace bigmodel::ops {

/// y[r, o] = sum over i of x[r, i] * weight[o, i] + bias[o]. weight [out, in] of f32, bf16 or f16; x [rows, in], y [rows, out] float32;
/// bias [out] or null. Sums are float32 (products too, unless cpu.bf16_products); a row's result does not depend on the number of
/// threads, nor on `rows`: but for bfloat16 products on tiles (AMX), which add up in another order from 16 rows on. x and y must not overlap.
void linear(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y);

/// The same for weight [in, out] (GPT-2's Conv1D).
void linear_transposed(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y);

}  // namespace bigmodel::ops
