// SPDX-License-Identifier: Apache-2.0
// Encoders of sound as it was sampled: convolutions over samples, positions by a convolution, then layers.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind conv_feature_layer: act(norm(conv x)), x [batch, channels, times]. Roles: conv, stride, norm (of all channels at a time), time_norm
/// (a weight and bias a channel, each channel over all times), act.
std::unique_ptr<BoundBlock> make_conv_feature_layer(Roles& roles);

/// Kind conv_positions: act(conv x) of [batch, length, size], as long as x; the convolution's weight is direction / its length * size per place of the
/// kernel. Roles: conv, groups, act.
std::unique_ptr<BoundBlock> make_conv_positions(Roles& roles);

/// Kind waveform_encoder: samples [batch, count] -> [batch, length, size]; state.valid, where given, says which samples count, and is turned into which
/// places do. Gives last_hidden_state and, with gives_features, extract_features. Roles: features (conv_feature_layers), feature_norm, project, positions, embed_norm,
/// layers, norm.
std::unique_ptr<BoundBlock> make_waveform_encoder(Roles& roles);

}  // namespace bigmodel
