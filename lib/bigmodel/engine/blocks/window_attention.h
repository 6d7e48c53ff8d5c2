// SPDX-License-Identifier: Apache-2.0
// Swin's parts: attention within windows of an image's grid, and stages that end by joining four places into one.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind window_attention: [batch, grid_height * grid_width, size] -> the same (the state says the grid). The grid is filled with zeros to whole windows,
/// and turned by `shift` before it is cut; places that were not neighbours before do not see each other. A grid as small as one window is not turned.
/// Roles: q, k, v, out, heads, window ([height, width], equal), shift, bias_table ([(2 * window - 1)^2, heads], by row and column distance).
std::unique_ptr<BoundBlock> make_window_attention(Roles& roles);

/// Kind window_stage: layers, then where given the joining of 2 x 2 places, whose values stand column by column: matrix(norm(joined)); the state's grid and
/// length are halved. Roles: layers, join, join_norm.
std::unique_ptr<BoundBlock> make_window_stage(Roles& roles);

}  // namespace bigmodel
