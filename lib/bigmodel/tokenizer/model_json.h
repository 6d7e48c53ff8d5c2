// SPDX-License-Identifier: Apache-2.0
// Reads the "model" object of tokenizer.json.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bigmodel/tokenizer/json_cursor.h"
#include "bigmodel/tokenizer/models/merge_table.h"
#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/vocabulary.h"

namespace bigmodel::tokenizer {

/// Takes the next value of the cursor. Without a "type" the object is what it can be read as: BPE, else WordPiece, else
/// WordLevel, else Unigram. `edit` may change all members but vocab and merges. Throws FormatError, UnsupportedError.
std::unique_ptr<Model> read_model(JsonCursor& cursor, const std::string& object, const std::function<void(nlohmann::ordered_json&)>& edit = {});

/// Adds one merge; its parts and what they make must be in the vocabulary. `prefix_size` bytes of the right part are not joined.
void add_merge(MergeTable& merges, const Vocabulary& vocabulary, std::string_view left, std::string_view right, std::size_t prefix_size,
               const std::string& object);
/// The same of a line "left right".
void add_merge_line(MergeTable& merges, const Vocabulary& vocabulary, std::string_view line, std::size_t prefix_size, const std::string& object);

}  // namespace bigmodel::tokenizer
