// SPDX-License-Identifier: Apache-2.0
// The text of new tokens as they come, with what was before them in mind (a first space, half a character).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/tokenizer/tokenizer.h"

namespace bigmodel::app {

/// One row. One thread.
class Continuation {
 public:
  Continuation(const tokenizer::Tokenizer& tokenizer, const std::vector<std::int64_t>& prompt_ids);
  /// What can be shown after one more token; may be empty.
  std::string step(std::int64_t id);
  /// What is left at the end.
  std::string finish();
  /// All of it so far.
  const std::string& text() const { return text_; }

 private:
  tokenizer::StreamDecoder decoder_;
  std::string text_;
};

}  // namespace bigmodel::app
