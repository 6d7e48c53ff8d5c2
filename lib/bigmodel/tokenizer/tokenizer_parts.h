// SPDX-License-Identifier: Apache-2.0
// What a tokenizer is made of. Every reader of tokenizer files ends here.
#pragma once

#include <memory>
#include <optional>

#include "bigmodel/tokenizer/added_tokens.h"
#include "bigmodel/tokenizer/decoder.h"
#include "bigmodel/tokenizer/encoding.h"
#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/normalizer.h"
#include "bigmodel/tokenizer/post_processor.h"
#include "bigmodel/tokenizer/pre_tokenizer.h"

namespace bigmodel::tokenizer {

/// Shared and read-only once made. `normalizer`, `post_processor` and `decoder` may be null.
struct TokenizerParts {
  std::unique_ptr<Normalizer> normalizer;
  PreTokenizerPlan pre_tokenizer;
  std::unique_ptr<Model> model;
  std::unique_ptr<PostProcessor> post_processor;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added_tokens;
  std::optional<TruncationParams> truncation;
  std::optional<PaddingParams> padding;
  bool clean_up_spaces = false;  ///< decode() removes the spaces before English punctuation and contractions
};

}  // namespace bigmodel::tokenizer
