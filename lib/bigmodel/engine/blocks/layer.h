// SPDX-License-Identifier: Apache-2.0
// The layers of a stack: a mixer and a feed-forward part around a residual stream.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kinds prenorm_layer, sandwich_layer, postnorm_layer and parallel_layer.
std::unique_ptr<BoundBlock> make_prenorm_layer(Roles& roles);
std::unique_ptr<BoundBlock> make_postnorm_layer(Roles& roles);
std::unique_ptr<BoundBlock> make_parallel_layer(Roles& roles);

}  // namespace bigmodel
