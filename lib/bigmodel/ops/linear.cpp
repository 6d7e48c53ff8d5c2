// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/linear.h"

#include "bigmodel/core/error.h"
#include "bigmodel/ops/linear_cpu.h"

namespace bigmodel::ops {
namespace {

void check(const TensorView& weight, const TensorView* bias, std::size_t out_dimension) {
  BIGMODEL_ASSERT(!weight.is_meta() && weight.shape.size() == 2);
  BIGMODEL_ASSERT(bias == nullptr || (!bias->is_meta() && bias->shape.size() == 1 && bias->size(0) == weight.size(out_dimension)));
}

}  // namespace

void linear(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) {
  check(weight, bias, 0);
  linear_cpu(cpu, x, rows, weight, bias, y);
}

void linear_transposed(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) {
  check(weight, bias, 1);
  linear_transposed_cpu(cpu, x, rows, weight, bias, y);
}

}  // namespace bigmodel::ops
