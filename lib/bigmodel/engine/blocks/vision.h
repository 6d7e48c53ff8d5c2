// SPDX-License-Identifier: Apache-2.0
// Images as rows of patches, two towers whose outputs are compared, and pooling by attention.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind vision_embeddings: pixel_values [batch, channels, height, width] -> [batch, special tokens + patches, size]; sets the state's length.
/// Roles: patch (a convolution), stride, class, distillation (parameters, rows before the patches), positions (a parameter or a table; optional), norm (of the patches, before the positions),
/// pad (images are filled with zeros to whole patches). The state gets the grid of patches.
/// Images of another size than the table's are refused, unless resize = "bicubic" fits the table to them.
std::unique_ptr<BoundBlock> make_vision_embeddings(Roles& roles);

/// Kind attention_pool: [batch, length, size] -> [batch, size]: a learned probe attends to all rows, then norm and ffn.
/// Roles: probe, attention (as PyTorch's MultiheadAttention), heads, norm, ffn.
std::unique_ptr<BoundBlock> make_attention_pool(Roles& roles);

/// Kind two_tower: {input_ids, pixel_values} -> logits_per_image, logits_per_text, both towers' states and normalised embeddings.
/// Roles: text, vision, text_projection, vision_projection, logit_scale, logit_bias.
std::unique_ptr<BoundBlock> make_two_tower(Roles& roles);

/// The second dimension behind all others and back: [batch, channels, height, width] <-> [batch, height * width, channels].
Tensor channels_last(const Tensor& image);
Tensor channels_first(const Tensor& rows, const Shape& image_shape);

}  // namespace bigmodel
