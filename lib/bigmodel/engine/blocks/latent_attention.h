// SPDX-License-Identifier: Apache-2.0
// Multi-head latent attention: queries and keys/values pass through a narrow bottleneck; one rotary key serves all heads.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind latent_attention. Expanded keys and values go to the cache.
std::unique_ptr<BoundBlock> make_latent_attention(Roles& roles);

}  // namespace bigmodel
