// SPDX-License-Identifier: Apache-2.0
// What turns a word into tokens: BPE, WordPiece, WordLevel or Unigram.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace bigmodel::tokenizer {

/// A token and the bytes [begin, end) of its word.
struct ModelToken {
  std::uint32_t id = 0;
  std::uint32_t begin = 0, end = 0;
};

class Model {
 public:
  /// Memory that one thread reuses from word to word.
  class Scratch {
   public:
    Scratch() = default;
    virtual ~Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
  };

  Model() = default;
  virtual ~Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  virtual std::unique_ptr<Scratch> make_scratch() const { return std::make_unique<Scratch>(); }
  /// Appends the tokens of a word that is not empty. Any thread, each with its own scratch.
  /// Throws UnsupportedError where a token is unknown and the model has none for that.
  virtual void tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const = 0;
  virtual std::size_t vocabulary_size() const = 0;
  virtual std::optional<std::uint32_t> find(std::string_view token) const = 0;
  virtual std::optional<std::string_view> text_of(std::uint32_t id) const = 0;
  /// Whether a token of this id shows the word's own text instead of text_of(id).
  virtual bool shows_word(std::uint32_t id) const {
    static_cast<void>(id);
    return false;
  }
};

}  // namespace bigmodel::tokenizer
