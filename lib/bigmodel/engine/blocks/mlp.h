// SPDX-License-Identifier: Apache-2.0
// Feed-forward blocks: down(act(up x)) and down(act(gate x) * up x).
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kinds mlp (up, down, act, layout) and gated_mlp (gate, up or gate_up, down, act).
std::unique_ptr<BoundBlock> make_mlp(Roles& roles);
std::unique_ptr<BoundBlock> make_gated_mlp(Roles& roles);

}  // namespace bigmodel
