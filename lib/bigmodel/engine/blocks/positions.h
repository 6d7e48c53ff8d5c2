// SPDX-License-Identifier: Apache-2.0
// Position embeddings that are computed and not stored.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind sinusoidal_positions: int64 [...] -> float32 [..., size]. The first half of a row are sines, the second cosines, of the position
/// times 10000^(-i / (half - 1)), or 10000^(-i / half) where spread is "size". Roles: size, zero_row (the position whose row is zero), spread.
std::unique_ptr<BoundBlock> make_sinusoidal_positions(Roles& roles);

}  // namespace bigmodel
