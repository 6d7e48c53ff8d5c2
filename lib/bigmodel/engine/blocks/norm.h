// SPDX-License-Identifier: Apache-2.0
// RMS and layer norms; also of parts of a row, as query and key norms want it.
#pragma once

#include <memory>
#include <vector>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// [..., n * size] -> the same, each run of `size` elements normed by itself, where size is the last dimension of the weight (else the
/// whole row). A weight [groups, size] serves the runs in turn. A second argument is a gate, where the roles say so.
class NormBlock : public BoundBlock {
 public:
  enum class Kind { rms, layer };
  NormBlock(Roles& roles, Kind kind);
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override;
  bool runs_on_accelerators() const override { return true; }

 private:
  Kind kind_;
  float eps_, offset_;
  std::int64_t groups_ = 1;        ///< > 1: the row is normed in so many parts, the weight covers all
  bool weightless_ = false;
  bool gate_first_ = true;         ///< the gate multiplies before the norm
  std::optional<ops::Activation> gate_;
};

std::unique_ptr<BoundBlock> make_rms_norm(Roles& roles);
std::unique_ptr<BoundBlock> make_layer_norm(Roles& roles);
/// One norm module per head, in a list.
std::unique_ptr<BoundBlock> make_norm_per_head(Roles& roles);

}  // namespace bigmodel
