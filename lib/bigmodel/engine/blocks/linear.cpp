// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/linear.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/linear.h"

namespace bigmodel {

Tensor LinearBlock::forward(Module& self, const Arguments& arguments, ForwardState& state) {
  const Tensor& x = arguments.front();
  const ModuleTensor* weight = self.find_tensor("weight");
  const ModuleTensor* bias = self.find_tensor("bias");
  const std::int64_t in = weight->view.size(transposed_ ? 0 : 1);
  if (x.width() != in) {
    throw FormatError(fmt::format("module '{}': input of width {}, expected {}", self.name(), x.width(), in));
  }
  if (weight->view.is_meta()) throw InternalError(fmt::format("{}: read while it is on meta", weight->full_name));
  Shape shape = x.shape();
  shape.back() = weight->view.size(transposed_ ? 1 : 0);
  Tensor out(std::move(shape));
  const TensorView* b = bias == nullptr ? nullptr : &bias->view;
  if (transposed_) {
    ops::linear_transposed(state.context(), x.f32(), x.rows(), weight->view, b, out.f32());
  } else {
    ops::linear(state.context(), x.f32(), x.rows(), weight->view, b, out.f32());
  }
  return out;
}

std::vector<ModuleTensor*> LinearBlock::matrices(Module& self) const {
  if (transposed_) return {};
  return {self.find_tensor("weight")};
}

std::int64_t linear_out_width(Module& module, bool transposed) {
  const Shape& shape = module.find_tensor("weight")->meta->shape;
  return shape[transposed || module.meta().layer_kind == "Conv1D" ? 1 : 0];
}

}  // namespace bigmodel
