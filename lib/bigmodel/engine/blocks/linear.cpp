// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/linear.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {

namespace {

/// The module's weight and bias, checked against the input.
struct Weights {
  const TensorView* weight;
  const TensorView* bias;
  std::int64_t out;
};

Weights weights_of(Module& self, const Tensor& x, bool transposed) {
  const ModuleTensor* weight = self.find_tensor("weight");
  const ModuleTensor* bias = self.find_tensor("bias");
  const std::int64_t in = weight->view.size(transposed ? 0 : 1);
  if (x.width() != in) throw FormatError(fmt::format("module '{}': input of width {}, expected {}", self.name(), x.width(), in));
  if (weight->view.is_meta()) throw InternalError(fmt::format("{}: read while it is on meta", weight->full_name));
  BIGMODEL_ASSERT(weight->device->accelerator() == x.device().accelerator());
  return {&weight->view, bias == nullptr ? nullptr : &bias->view, weight->view.size(transposed ? 1 : 0)};
}

Tensor room_for(const Tensor& x, std::int64_t width) {
  Shape shape = x.shape();
  shape.back() = width;
  return beside(x, std::move(shape));
}

}  // namespace

Tensor LinearBlock::forward(Module& self, const Arguments& arguments, ForwardState& state) {
  const Tensor& x = arguments.front();
  const Weights w = weights_of(self, x, transposed_);
  Tensor out = room_for(x, w.out);
  const OperationsOn on(x, state);
  if (transposed_) {
    on->linear_transposed(x.data(), x.rows(), *w.weight, w.bias, out.data());
  } else {
    on->linear(x.data(), x.rows(), *w.weight, w.bias, out.data(), {.bf16_products = state.context().bf16_products});
  }
  return out;
}

const LinearBlock* plain_linear(const Module& module) {
  if (module.hook() != nullptr || module.observer() != nullptr) return nullptr;
  return dynamic_cast<const LinearBlock*>(module.block());
}

std::vector<Tensor> linear_outputs(const std::vector<Module*>& modules, const Tensor& x, ForwardState& state) {
  std::vector<Tensor> out;
  const Accelerator* gpu = x.device().accelerator();
  const bool together = gpu != nullptr && std::ranges::all_of(modules, [](const Module* m) {
    const LinearBlock* block = plain_linear(*m);
    return block != nullptr && !block->transposed();
  });
  if (!together) {
    for (Module* m : modules) out.push_back((*m)(x, state));
    return out;
  }
  std::vector<ops::LinearPart> parts;
  for (Module* m : modules) {
    const Weights w = weights_of(*m, x, false);
    out.push_back(room_for(x, w.out));
    parts.push_back({*w.weight, w.bias, out.back().data()});
  }
  gpu->operations().linear_group(x.data(), x.rows(), parts, {.bf16_products = state.context().bf16_products});
  return out;
}

Tensor gated_product(Module& gate, Module& up, const Tensor& x, ops::Activation act, float gate_scale, ForwardState& state) {
  const Weights g = weights_of(gate, x, false);
  const Weights u = weights_of(up, x, false);
  if (g.out != u.out) throw FormatError(fmt::format("module '{}': gives {} values, expected as many as the gate: {}", up.name(), u.out, g.out));
  Tensor out = room_for(x, g.out);
  const ops::GatedWeights weights{*g.weight, *u.weight, g.bias, u.bias, gate_scale};
  OperationsOn(x, state)->gated_linear(x.data(), x.rows(), weights, act, out.data(), {.bf16_products = state.context().bf16_products});
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
