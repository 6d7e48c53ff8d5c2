// SPDX-License-Identifier: Apache-2.0
// Convolutions of one to three dimensions, as stems, patch embeddings and stages have them.
#pragma once

#include <vector>

#include "bigmodel/engine/module.h"

namespace bigmodel {

/// One value per spatial dimension.
struct ConvGeometry {
  std::vector<std::int64_t> stride;
  std::vector<std::int64_t> padding;    ///< zeros on both sides
  std::int64_t groups = 1;
};

/// x [batch, in, spatial...] -> [batch, out, spatial'...] with a weight [out, in / groups, kernel...] and a bias or null; `name` for errors.
/// Throws UsageError for input of other channels, or smaller than the kernel.
Tensor convolve(const Tensor& x, const TensorView& weight, const TensorView* bias, const ConvGeometry& geometry, const std::string& name, ForwardState& state);

/// The same with the module's weight and bias.
class ConvBlock : public BoundBlock {
 public:
  explicit ConvBlock(ConvGeometry geometry) : geometry_(std::move(geometry)) {}
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override;

 private:
  ConvGeometry geometry_;
};

}  // namespace bigmodel
