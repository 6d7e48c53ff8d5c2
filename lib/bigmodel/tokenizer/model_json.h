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

/// The "model" object of a tokenizer.json in two steps, because an edit may need what comes after it: taking notes of where its
/// members are, and building.
class ModelText {
 public:
  /// Takes the next value of the cursor, and of vocab and merges only where they end. Throws FormatError.
  ModelText(JsonCursor& cursor, const std::string& object);
  ModelText(ModelText&&) noexcept;
  ModelText& operator=(ModelText&&) noexcept;
  ~ModelText();

  /// Once; the text must still be there. Without a "type" the object is what it can be read as: BPE, else WordPiece, else
  /// WordLevel, else Unigram. `edit` may change all members, and set others in place of vocab and merges. Throws FormatError,
  /// UnsupportedError.
  std::unique_ptr<Model> build(const std::function<void(nlohmann::ordered_json&)>& edit = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bigmodel::tokenizer
