// SPDX-License-Identifier: Apache-2.0
// Text encoders, and the heads above them.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind embeddings: ids -> norm(words + positions + types). Roles: words, positions, types, norm, padding (positions count the ids that are
/// not this one, and start behind it), project (before the norm), zero_padding (rows of padding are zero behind it).
std::unique_ptr<BoundBlock> make_embeddings(Roles& roles);

/// Kind encoder: ids -> [batch, length, size]; gives last_hidden_state and, with `pool` (a matrix on the first token, then pool_act),
/// pooler_output. Roles: embed, project, embed_norm, layers or shared, norm, pool, pool_act; pool_token
/// (which token instead, or "mean"), pool_id, pool_norm (of that token), pool_by (a block that pools all tokens); relative_bias, buckets, max_distance and heads where all layers
/// share one table of relative positions; relative_rows, relative_norm (rows for disentangled_attention) and first_conv (first_layer_conv).
std::unique_ptr<BoundBlock> make_encoder(Roles& roles);

/// Kind shared_layers: `depth` layers that take their weights from few groups in turn.
std::unique_ptr<BoundBlock> make_shared_layers(Roles& roles);

/// Kind head: reads what the body gives ("tokens", "first" token, "mean" of all tokens, or "pooled") and runs the steps (matrices, norms, names of
/// activations); gives logits (`gives` names them otherwise), or start_logits and end_logits where `spans`, with relevance_logits [batch] where
/// `relevance` is a matrix for the first token. `padding`: without a mask tokens of this id are masked.
std::unique_ptr<BoundBlock> make_head(Roles& roles);

}  // namespace bigmodel
