// SPDX-License-Identifier: Apache-2.0
// What puts special tokens around the tokens of a text, or of a pair of texts.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bigmodel/tokenizer/encoding.h"

namespace bigmodel::tokenizer {

class PostProcessor {
 public:
  PostProcessor() = default;
  virtual ~PostProcessor() = default;
  PostProcessor(const PostProcessor&) = delete;
  PostProcessor& operator=(const PostProcessor&) = delete;

  /// How many special tokens it adds to a text, or to a pair.
  virtual std::size_t added_tokens(bool is_pair) const = 0;
  /// Works on the encodings of text and pair; what comes out is to be merged in order.
  virtual std::vector<Encoding> process(std::vector<Encoding> encodings, bool add_special_tokens) const = 0;
};

/// From the "post_processor" object of tokenizer.json. Throws FormatError, UnsupportedError (an unknown type).
std::unique_ptr<PostProcessor> read_post_processor(const nlohmann::ordered_json& json, const std::string& object);

/// Text and, where not null, its pair in one encoding; `processor` may be null.
Encoding post_process(const PostProcessor* processor, Encoding encoding, Encoding* pair, bool add_special_tokens);

}  // namespace bigmodel::tokenizer
