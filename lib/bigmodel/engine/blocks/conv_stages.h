// SPDX-License-Identifier: Apache-2.0
// Convolutional networks in stages: ConvNeXt and ResNet.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind convnext: pixel_values -> last_hidden_state [batch, channels, height, width], pooler_output [batch, channels].
/// Roles: stem, stem_stride, stem_norm, stages, norm.
std::unique_ptr<BoundBlock> make_convnext(Roles& roles);
/// Kind convnext_stage. Roles: down (a list: nothing, or a norm and a convolution that halves), layers.
std::unique_ptr<BoundBlock> make_convnext_stage(Roles& roles);
/// Kind convnext_layer: x + scale * down(act(up(norm(conv x)))). Roles: conv, norm, up, down, act, scale.
std::unique_ptr<BoundBlock> make_convnext_layer(Roles& roles);

/// Kind resnet: pixel_values -> last_hidden_state, pooler_output [batch, channels, 1, 1]. Roles: stem, stages (lists of lists of layers).
std::unique_ptr<BoundBlock> make_resnet(Roles& roles);
/// Kind residual: act(body(x) + shortcut(x)). Roles: body (a list), shortcut, act; stride and stride_first are facts for planners.
std::unique_ptr<BoundBlock> make_residual(Roles& roles);
/// Kind conv_norm_act: a convolution, padded by half its kernel, then batch norm by running statistics. Roles: conv, norm, stride, act.
std::unique_ptr<BoundBlock> make_conv_norm_act(Roles& roles);

}  // namespace bigmodel
