// SPDX-License-Identifier: Apache-2.0
// WordPiece (longest piece first) and WordLevel (whole words).
#pragma once

#include <string>

#include "bigmodel/tokenizer/models/model.h"
#include "bigmodel/tokenizer/vocabulary.h"

namespace bigmodel::tokenizer {

class WordPiece final : public Model {
 public:
  struct Options {
    std::string unk_token, continuing_subword_prefix;
    std::uint64_t max_input_chars_per_word = 100;
  };
  WordPiece(Vocabulary vocabulary, Options options);

  std::unique_ptr<Scratch> make_scratch() const override;
  void tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const override;
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::optional<std::uint32_t> find(std::string_view token) const override { return vocabulary_.find(token); }
  std::optional<std::string_view> text_of(std::uint32_t id) const override { return vocabulary_.text_of(id); }

 private:
  void add_unknown(std::string_view word, std::vector<ModelToken>& out) const;
  Vocabulary vocabulary_;
  Options options_;
  std::optional<std::uint32_t> unk_id_;
};

class WordLevel final : public Model {
 public:
  /// `marked_words`: a text is the words that begin with a U+2581, and unknown ones in a row are one token (SentencePiece).
  WordLevel(Vocabulary vocabulary, std::string unk_token, bool marked_words = false);

  void tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const override;
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::optional<std::uint32_t> find(std::string_view token) const override { return vocabulary_.find(token); }
  std::optional<std::string_view> text_of(std::uint32_t id) const override { return vocabulary_.text_of(id); }

 private:
  Vocabulary vocabulary_;
  std::string unk_token_;
  std::optional<std::uint32_t> unk_id_;
  bool marked_words_;
};

}  // namespace bigmodel::tokenizer
