// SPDX-License-Identifier: Apache-2.0
// Reads the "model" object of tokenizer.json.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bigmodel/tokenizer/json_cursor.h"
#include "bigmodel/tokenizer/models/model.h"

namespace bigmodel::tokenizer {

/// Takes the next value of the cursor. Without a "type" the object is what it can be read as: BPE, else WordPiece, else
/// WordLevel, else Unigram. `edit` may change all members but vocab and merges. Throws FormatError, UnsupportedError.
std::unique_ptr<Model> read_model(JsonCursor& cursor, const std::string& object, const std::function<void(nlohmann::ordered_json&)>& edit = {});

}  // namespace bigmodel::tokenizer
