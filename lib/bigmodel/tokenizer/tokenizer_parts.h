// SPDX-License-Identifier: Apache-2.0
// What a tokenizer is made of. Every reader of tokenizer files ends here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bigmodel/tokenizer/added_tokens.h"
#include "bigmodel/tokenizer/decoder.h"
#include "bigmodel/tokenizer/encoding.h"
#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/normalizer.h"
#include "bigmodel/tokenizer/post_processor.h"
#include "bigmodel/tokenizer/pre_tokenizer.h"

namespace bigmodel::tokenizer {

/// What the class of a folder does to decoded ids and their text, beside the decoder.
struct DecodingExtras {
  bool clean_up_spaces = false;              ///< removes the spaces before English punctuation and contractions
  std::string word_end;                      ///< a blank where this stands, none at the ends; "" for nothing of that kind
  bool joins_repeats = false;                ///< equal ids in a row are one
  std::optional<std::uint32_t> blank;        ///< an id that is left out
  bool drops_timestamps = false;             ///< "<|1.20|>" and its like are left out
};

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
  DecodingExtras decoding;
};

}  // namespace bigmodel::tokenizer
