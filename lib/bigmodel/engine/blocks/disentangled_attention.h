// SPDX-License-Identifier: Apache-2.0
// DeBERTa's attention: scores of contents, and of contents against learned rows for relative positions.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind disentangled_attention, no cache: [batch, length, size] -> [batch, length, size].
/// score(i, j) = q_i k_j + q_i pos_k(i - j) + k_j pos_q(i - j), divided by scale; the last two where given. Rows of positions are
/// state.relative_rows, [2 * reach, size], middle at reach, which the stack sets.
/// Roles: q, k, v or qkv (head by head), out, q_bias, v_bias, pos_k, pos_q, heads, head_dim, scale, reach; buckets and max_distance where far
/// distances share rows.
std::unique_ptr<BoundBlock> make_disentangled_attention(Roles& roles);

/// Kind first_layer_conv: {the stack's input, its first layer's output} -> norm(output + act(conv input)), zero for padding. Roles: conv, norm, act.
std::unique_ptr<BoundBlock> make_first_layer_conv(Roles& roles);

}  // namespace bigmodel
