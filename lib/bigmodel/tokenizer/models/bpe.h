// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding: a word's characters, merged pair by pair in the order of the merges' ranks.
#pragma once

#include <array>
#include <string>

#include "bigmodel/tokenizer/models/merge_table.h"
#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/vocabulary.h"

namespace bigmodel::tokenizer {

struct BpeOptions {
  std::optional<std::string> unk_token, continuing_subword_prefix, end_of_word_suffix;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
  bool never_merge = false;  ///< dropout 1: every merge is dropped. Any lower dropout is for training and ignored
};

class Bpe final : public Model {
 public:
  Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options);

  std::unique_ptr<Scratch> make_scratch() const override;
  void tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const override;
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::optional<std::uint32_t> find(std::string_view token) const override { return vocabulary_.find(token); }
  std::optional<std::string_view> text_of(std::uint32_t id) const override { return vocabulary_.text_of(id); }

  /// Whether tokenize_raw() may stand in for rewriting a text into GPT-2's byte alphabet and tokenizing that.
  bool takes_raw_bytes() const noexcept { return takes_raw_bytes_; }
  /// The tokens of a word's byte alphabet, their bounds in the word's own bytes.
  void tokenize_raw(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const;

 private:
  struct BpeScratch;
  struct Symbol {
    std::uint32_t id, size;
  };
  void look_at_vocabulary();
  std::uint64_t look_up(std::string_view token) const;
  bool no_merge_enters_a_word() const;
  void tokenize_cached(std::string_view word, BpeScratch& scratch, std::vector<ModelToken>& out, bool raw) const;
  void merge_word(std::string_view word, BpeScratch& scratch, bool raw) const;
  void characters(std::string_view word, BpeScratch& scratch) const;
  void merge_few(BpeScratch& scratch) const;
  void merge_many(BpeScratch& scratch) const;
  std::uint32_t unk_id() const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  // Wider than ids, because every id may be one: kMissing where there is none.
  std::array<std::uint64_t, 128> ascii_ids_{};     ///< of one-character tokens
  std::array<std::uint64_t, 256> raw_ids_{};       ///< of the byte alphabet's characters
  std::array<std::uint64_t, 256> fallback_ids_{};  ///< of <0x00> ... <0xFF>
  std::optional<std::uint32_t> unk_id_;
  bool takes_raw_bytes_ = false;
  bool splits_at_spaces_ = false;  ///< no merge joins a character with a U+2581 after it
};

}  // namespace bigmodel::tokenizer
