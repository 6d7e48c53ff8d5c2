// SPDX-License-Identifier: Apache-2.0
// Unigram: the split of a word with the highest sum of scores.
#pragma once

#include <string>

#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/vocabulary.h"

namespace bigmodel::tokenizer {

class Unigram final : public Model {
 public:
  /// Ids of `vocabulary` index `scores`. Throws FormatError if unk_id is none of them.
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<std::uint64_t> unk_id, bool byte_fallback);

  std::unique_ptr<Scratch> make_scratch() const override;
  void tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const override;
  std::size_t vocabulary_size() const override { return scores_.size(); }
  std::optional<std::uint32_t> find(std::string_view token) const override { return vocabulary_.find(token); }
  std::optional<std::string_view> text_of(std::uint32_t id) const override { return vocabulary_.text_of(id); }
  bool shows_word(std::uint32_t id) const override { return unk_id_ && id == *unk_id_; }

 private:
  struct Node {
    std::uint32_t first_child = 0, child_count = 0;
    std::int64_t id = -1;
  };
  void build_trie();
  std::uint32_t child_of(std::uint32_t node, unsigned char byte) const noexcept;
  void add_unknown(std::string_view word, std::uint32_t begin, std::uint32_t end, std::vector<ModelToken>& out) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::optional<std::uint32_t> unk_id_;
  std::optional<std::vector<std::uint32_t>> byte_ids_;  ///< of the 256 byte tokens, ~0 where missing; with byte_fallback
  double unk_score_ = 0;
  std::vector<Node> nodes_;
  std::vector<unsigned char> labels_;  ///< of the node
  std::vector<std::uint32_t> roots_;   ///< child of the root by byte, 0 where none
};

}  // namespace bigmodel::tokenizer
