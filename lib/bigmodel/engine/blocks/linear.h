// SPDX-License-Identifier: Apache-2.0
// A module that is a matrix product with an optional bias.
#pragma once

#include "bigmodel/engine/module.h"

namespace bigmodel {

/// [..., in] -> [..., out] by the module's `weight` and, where it has one, `bias`.
class LinearBlock : public BoundBlock {
 public:
  explicit LinearBlock(bool transposed) : transposed_(transposed) {}
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override;
  std::vector<ModuleTensor*> matrices(Module& self) const override;

 private:
  bool transposed_;
};

/// What a bound linear module gives out, by its weight's shape.
std::int64_t linear_out_width(Module& module, bool transposed = false);

}  // namespace bigmodel
