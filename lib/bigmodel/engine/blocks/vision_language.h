// SPDX-License-Identifier: Apache-2.0
// Models of text and images: a tower's rows take the places of image tokens in a decoder's input.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind vision_language: ids -> the decoder's states. The first pass takes state.pixels; a later one of the same sequence needs none.
/// Roles: vision, projector (of the tower's rows), text, image_token. Towers of images: feature_layer (the tower's layer whose input is taken,
/// counted from its end where negative; a list is joined row by row), select ("default" leaves out the first row, "full" does not). Towers of patches (merge
/// given): state.image_grid says frames, rows and columns of patches of each image, and places get positions by frame, row and column.
std::unique_ptr<BoundBlock> make_vision_language(Roles& roles);

/// Kind patch_tower: patches [count, values] of all frames of all images of state.image_grid, block by block of merge x merge -> [count / merge^2, size].
/// A patch looks at those of its frame. Gives last_hidden_state (before the merger) and pooler_output. Roles: embed, layers, merger, merge.
std::unique_ptr<BoundBlock> make_patch_tower(Roles& roles);

/// Kind patch_rows: a convolution as large as its input, as a matrix product. Roles: conv.
std::unique_ptr<BoundBlock> make_patch_rows(Roles& roles);

/// Kind patch_merger: down(act(up(so many rows of norm(x), joined))). Roles: norm, up, down, act, merge (rows to the side).
std::unique_ptr<BoundBlock> make_patch_merger(Roles& roles);

}  // namespace bigmodel
