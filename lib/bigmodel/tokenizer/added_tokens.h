// SPDX-License-Identifier: Apache-2.0
// Tokens beside the model's vocabulary, found in the text before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/normalizer.h"
#include "bigmodel/tokenizer/pre_tokenized.h"

namespace bigmodel::tokenizer {

struct AddedToken {
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
  bool operator==(const AddedToken&) const = default;
};

/// Finds the longest of many strings at a place.
class StringSet {
 public:
  void reserve(std::size_t texts) { texts_.reserve(texts); }
  void add(std::string text, std::uint32_t id) { texts_.push_back({std::move(text), id}); }
  void freeze();
  bool empty() const noexcept { return texts_.empty(); }
  struct Found {
    std::size_t begin = 0, end = 0;
    std::uint32_t id = 0;
  };
  /// The first place at or after `from` where a string begins, with the longest one there.
  std::optional<Found> find(std::string_view text, std::size_t from) const noexcept;

 private:
  struct Text {
    std::string text;
    std::uint32_t id = 0;
  };
  std::vector<Text> texts_;  ///< sorted
  std::array<std::pair<std::uint32_t, std::uint32_t>, 256> first_{};  ///< texts by their first byte
};

/// Filled, frozen, then read from any thread.
class AddedTokens {
 public:
  /// Gives the tokens ids as the reference does: the model's where it knows the text, else the next free ones.
  void add(std::span<const AddedToken> tokens, const Model& model, const Normalizer* normalizer);

  /// The id of a text that is an added token or in the model's vocabulary.
  std::optional<std::uint32_t> find(const Model& model, std::string_view content) const;
  const AddedToken* by_id(std::uint32_t id) const noexcept;
  bool has(const std::string& content) const { return ids_.contains(content); }
  /// With the same flags.
  bool has(const AddedToken& token) const;
  /// The content as the normalizer leaves it, of a token with `normalized`.
  std::string_view normalized_of(std::uint32_t id) const { return normalized_texts_.at(id); }
  bool is_special(std::string_view content) const { return special_.contains(std::string(content)); }
  std::size_t size() const noexcept { return by_id_.size(); }
  const std::unordered_map<std::uint32_t, AddedToken>& tokens() const noexcept { return by_id_; }
  std::size_t count_beyond(const Model& model) const;

  /// Special tokens in the text are then words like any others.
  void encode_special_tokens(bool on) noexcept { encode_special_tokens_ = on; }

  /// Cuts out tokens that are looked for in the original text, or in the normalized one.
  void split(PreTokenized& text, bool normalized) const;

 private:
  void rebuild(const Normalizer* normalizer);
  template <typename Emit>
  void cut(std::string_view text, const StringSet& set, Emit emit) const;

  std::unordered_map<std::string, std::uint32_t> ids_;
  std::unordered_map<std::uint32_t, AddedToken> by_id_;
  std::unordered_map<std::uint32_t, std::string> normalized_texts_;
  std::unordered_set<std::string> special_;
  std::optional<std::uint32_t> highest_;
  StringSet raw_, normalized_;
  bool encode_special_tokens_ = false;
};

}  // namespace bigmodel::tokenizer
