// SPDX-License-Identifier: Apache-2.0
// Where composite configs keep the keys of their language model, and how far it goes.
#pragma once

#include <cstdint>
#include <string_view>

#include "bigmodel/spec/value.h"

namespace bigmodel {

/// In the order of preference; each may be absent.
inline constexpr std::string_view kTextParts[] = {"text_config", "llm_config", "language_config"};

/// max_position_embeddings or what older types call it, of the config or of its text part. 0: none.
std::int64_t stated_context(const spec::Map& config);

}  // namespace bigmodel
