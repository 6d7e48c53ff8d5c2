// SPDX-License-Identifier: Apache-2.0
// A module that is a matrix product with an optional bias.
#pragma once

#include "bigmodel/engine/module.h"
#include "bigmodel/ops/activation.h"

namespace bigmodel {

/// [..., in] -> [..., out] by the module's `weight` and, where it has one, `bias`.
class LinearBlock : public BoundBlock {
 public:
  explicit LinearBlock(bool transposed) : transposed_(transposed) {}
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override;
  std::vector<ModuleTensor*> matrices(Module& self) const override;
  bool runs_on_accelerators() const override { return true; }
  bool transposed() const noexcept { return transposed_; }

 private:
  bool transposed_;
};

/// The module's block where it is a linear one without hook or observer, whose product may be one with others; else null.
const LinearBlock* plain_linear(const Module& module);

/// Each module of x, as if called one after the other; on an accelerator in one piece of work where that is possible.
std::vector<Tensor> linear_outputs(const std::vector<Module*>& modules, const Tensor& x, ForwardState& state);

/// act(gate_scale * gate(x)) * up(x) of two plain linear modules, in one piece of work of x's accelerator.
Tensor gated_product(Module& gate, Module& up, const Tensor& x, ops::Activation act, float gate_scale, ForwardState& state);

/// What a bound linear module gives out, by its weight's shape.
std::int64_t linear_out_width(Module& module, bool transposed = false);

}  // namespace bigmodel
