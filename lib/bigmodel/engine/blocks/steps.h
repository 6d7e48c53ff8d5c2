// SPDX-License-Identifier: Apache-2.0
// A chain of matrices, norms and activations, as heads have it.
#pragma once

#include <vector>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

class Steps {
 public:
  /// From a list role of members (with a block of their own, or matrices) and names of activations. Absent: no steps.
  Steps(Roles& roles, std::string_view name);
  /// x itself is left as it is.
  Tensor operator()(Tensor x, ForwardState& state) const;

 private:
  struct Step {
    Module* module = nullptr;
    ops::Activation act = ops::Activation::identity;
  };
  std::vector<Step> steps_;
};

}  // namespace bigmodel
