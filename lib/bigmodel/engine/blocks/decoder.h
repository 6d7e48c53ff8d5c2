// SPDX-License-Identifier: Apache-2.0
// A stack of layers between embeddings and a final norm, and the language model head above it.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind decoder: int64 ids [batch, length] -> float32 [batch, length, size]. With `padding` positions count the ids that are not this one,
/// and start behind it; with `count_padding` they are columns, where else tokens alone are counted.
std::unique_ptr<BoundBlock> make_decoder(Roles& roles);

/// Kind stack: the same for one side of an encoder-decoder.
std::unique_ptr<BoundBlock> make_stack(Roles& roles);

/// Kind causal_lm: ids -> logits [batch, length or 1, vocabulary]. Roles: body, transform (steps before the head), head, logit_scale, soft_cap.
std::unique_ptr<BoundBlock> make_causal_lm(Roles& roles);

}  // namespace bigmodel
