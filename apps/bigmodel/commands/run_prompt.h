// SPDX-License-Identifier: Apache-2.0
// The token ids that a run starts from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/engine/generate.h"

namespace bigmodel::app {

/// "1,2,3". Throws UsageError in the name of `option`.
std::vector<std::int64_t> parse_ids(std::string_view text, std::string_view option);

/// A JSON list of lists of ids, a list of ids, or {"input_ids", "attention_mask"}; `object` names it in errors. Rows of different
/// lengths are padded on the left. Throws FormatError, UsageError.
TokenBatch parse_ids_json(std::string_view json, const std::string& object, std::int64_t pad_id);

}  // namespace bigmodel::app
