// SPDX-License-Identifier: Apache-2.0
// Tokens of words seen before: one thread's memory, bounded, forgets by overwriting.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/models/model.h"

namespace bigmodel::tokenizer {

class WordCache {
 public:
  /// Appends the word's tokens and returns true if it knows them.
  bool find(std::string_view word, std::uint64_t hash, std::vector<ModelToken>& out) const;
  void add(std::string_view word, std::uint64_t hash, std::span<const ModelToken> tokens);

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t word = 0, tokens = 0;
    std::uint16_t word_size = 0, token_count = 0;
    bool used = false;
  };
  void grow();

  std::vector<Slot> slots_;
  std::string words_;
  std::vector<ModelToken> tokens_;
  std::size_t used_ = 0;
};

}  // namespace bigmodel::tokenizer
