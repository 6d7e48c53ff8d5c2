// SPDX-License-Identifier: Apache-2.0
// Encodings and pre-tokens in the JSON form of the goldens.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/encoding.h"
#include "bigmodel/tokenizer/pre_tokenizer.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::test {

inline nlohmann::ordered_json to_json(const tokenizer::Encoding& e) {
  using Json = nlohmann::ordered_json;
  Json out{{"ids", e.ids}, {"tokens", e.tokens}, {"offsets", Json::array()}, {"special", e.special_tokens_mask}, {"words", Json::array()}};
  for (const auto& [begin, end] : e.offsets) out["offsets"].push_back({begin, end});
  for (const std::uint32_t word : e.words) out["words"].push_back(word == tokenizer::kNoWord ? Json(nullptr) : Json(word));
  if (std::ranges::any_of(e.type_ids, [](auto v) { return v != 0; })) out["type_ids"] = e.type_ids;
  if (std::ranges::any_of(e.attention_mask, [](auto v) { return v == 0; })) out["attention"] = e.attention_mask;
  const std::vector<int> sequences = e.sequence_ids();
  if (std::ranges::any_of(sequences, [](int v) { return v > 0; })) {
    for (const int s : sequences) out["sequences"].push_back(s < 0 ? Json(nullptr) : Json(s));
  }
  for (const tokenizer::Encoding& part : e.overflowing) out["overflow"].push_back(to_json(part));
  return out;
}

/// The pieces a pre-tokenizer makes of a text, with their code points [begin, end).
inline nlohmann::ordered_json pre_tokens(const tokenizer::PreTokenizerPlan& plan, std::string_view text) {
  tokenizer::PreTokenized pieces(text);
  tokenizer::pre_tokenize(plan, pieces);
  auto out = nlohmann::ordered_json::array();
  for (const tokenizer::Piece& piece : pieces.pieces()) {
    const tokenizer::Span span = piece.begin < piece.end ? pieces.span_of(piece.begin, piece.end) : tokenizer::Span{piece.original_begin, piece.original_end};
    const auto index = [&](std::uint32_t byte) { return tokenizer::count_code_points(text.substr(0, byte)); };
    out.push_back({pieces.text_of(piece), {index(span.begin), index(span.end)}});
  }
  return out;
}

}  // namespace bigmodel::test
