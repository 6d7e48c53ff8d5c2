// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: a router that picks some experts for each token, and the experts' stacked matrices.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind moe: [..., size] -> [..., size].
std::unique_ptr<BoundBlock> make_moe(Roles& roles);

/// Kind experts: x [tokens, size], ids int64 [tokens, k], weights float32 [tokens, k] -> [tokens, size]. Each expert computes the rows
/// of its tokens: down(act(gate x) * up x), or down(act(up x)) where there is no gate_up. layout "transposed": matrices [in, out]; "interleaved": those too, with
/// columns of gate and up in turn. Sums run in the order of the experts' numbers.
std::unique_ptr<BoundBlock> make_experts(Roles& roles);

}  // namespace bigmodel
