// SPDX-License-Identifier: Apache-2.0
// Selective state spaces: mamba (one decay per channel and state) and mamba2 (one per head), and lfm2's short convolution.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

std::unique_ptr<BoundBlock> make_mamba(Roles& roles);
std::unique_ptr<BoundBlock> make_mamba2(Roles& roles);
std::unique_ptr<BoundBlock> make_short_conv(Roles& roles);

}  // namespace bigmodel
