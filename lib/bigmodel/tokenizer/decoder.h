// SPDX-License-Identifier: Apache-2.0
// What makes a text of tokens again.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace bigmodel::tokenizer {

class Decoder {
 public:
  Decoder() = default;
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Changes the tokens in place; joined they are the text. Any thread.
  virtual void decode(std::vector<std::string>& tokens) const = 0;
};

/// From the "decoder" object of tokenizer.json. Throws FormatError, UnsupportedError (an unknown type).
std::unique_ptr<Decoder> read_decoder(const nlohmann::ordered_json& json, const std::string& object);

/// Takes away the spaces that WordPiece's cleanup takes away: before punctuation and in English contractions.
std::string clean_up_spaces(std::string text);

/// Every occurrence of `from` becomes `to`; an empty `from` is found before every character and at the end.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace bigmodel::tokenizer
