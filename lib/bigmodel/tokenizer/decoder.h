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
  /// Whether a token's text depends on its neighbours only. `fused`: a step before has made one text of all tokens; set by such.
  virtual bool is_local(bool& fused) const { return !fused; }
};

/// From the "decoder" object of tokenizer.json. Throws FormatError, UnsupportedError (an unknown type).
std::unique_ptr<Decoder> read_decoder(const nlohmann::ordered_json& json, const std::string& object);

/// Takes away the spaces that WordPiece's cleanup takes away: before punctuation and in English contractions. transformers' own
/// cleanup leaves "do not".
std::string clean_up_spaces(std::string text, bool shortens_do_not = true);

/// Every occurrence of `from` becomes `to`; an empty `from` is found before every character and at the end.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace bigmodel::tokenizer
