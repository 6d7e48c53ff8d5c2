// SPDX-License-Identifier: Apache-2.0
// Zamba2's shared transformer blocks: several layers use one set of weights, each with small adapters of its own.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind shared_layer: {stream, embeddings} side by side through attention and feed-forward, without residual sums.
std::unique_ptr<BoundBlock> make_shared_layer(Roles& roles);
/// Kind shared_before_mamba: what the shared block gives, through a matrix, joins the input of the mamba layer's mixer.
std::unique_ptr<BoundBlock> make_shared_before_mamba(Roles& roles);

/// The adapter of the present use in a list: two matrices, one after the other. Empty where the list has none for it.
class Adapter {
 public:
  Adapter(Roles& roles, std::string_view list);
  /// y += adapter(x), where there is one.
  void add_to(const Tensor& y, const Tensor& x, ForwardState& state) const;

 private:
  Module* down_ = nullptr;
  Module* up_ = nullptr;
};

}  // namespace bigmodel
