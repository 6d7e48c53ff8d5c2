// SPDX-License-Identifier: Apache-2.0
// What cuts a normalized text into the words that the model sees.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/pre_tokenized.h"

namespace bigmodel::tokenizer {

class PreTokenizer {
 public:
  PreTokenizer() = default;
  virtual ~PreTokenizer() = default;
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  /// Any thread. Throws UnsupportedError where a regular expression gives up.
  virtual void pre_tokenize(PreTokenized& text) const = 0;
  /// Appends the matches of one piece where all this does is to cut by them, isolated; false where it does more.
  virtual bool find_isolated(std::string_view text, std::vector<Match>& out) const;
};

using PreTokenizerList = std::vector<std::unique_ptr<PreTokenizer>>;

/// What a pre-tokenizer comes to: steps in order, and whether GPT-2's byte alphabet is written at the end.
struct PreTokenizerPlan {
  PreTokenizerList steps;
  bool byte_alphabet_last = false;
};

/// From the "pre_tokenizer" object of tokenizer.json (null: nothing is cut). Throws FormatError, UnsupportedError.
PreTokenizerPlan read_pre_tokenizer(const nlohmann::ordered_json& json, const std::string& object);

/// All steps; with `raw_bytes` the byte alphabet at the end is left out.
void pre_tokenize(const PreTokenizerPlan& plan, PreTokenized& text, bool raw_bytes = false);

}  // namespace bigmodel::tokenizer
