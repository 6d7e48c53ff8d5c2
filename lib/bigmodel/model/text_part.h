// SPDX-License-Identifier: Apache-2.0
// Where composite configs keep the keys of their language model.
#pragma once

#include <string_view>

namespace bigmodel {

/// In the order of preference; each may be absent.
inline constexpr std::string_view kTextParts[] = {"text_config", "llm_config", "language_config"};

}  // namespace bigmodel
