// SPDX-License-Identifier: Apache-2.0
// Self-attention of decoders and encoders: multi-head, grouped, multi-query, with rotary positions or alibi, windows, sinks, caps.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind attention. Keys and values go to the state's cache, where there is one.
std::unique_ptr<BoundBlock> make_attention(Roles& roles);

}  // namespace bigmodel
