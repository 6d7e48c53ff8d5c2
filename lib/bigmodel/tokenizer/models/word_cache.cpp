// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/models/word_cache.h"

namespace bigmodel::tokenizer {
namespace {

constexpr std::size_t kFirstSlots = 256;
constexpr std::size_t kMostSlots = std::size_t{1} << 17;
constexpr std::size_t kMostBytes = std::size_t{4} << 20;
constexpr std::size_t kMostTokens = std::size_t{1} << 20;
constexpr std::size_t kProbes = 4;

}  // namespace

bool WordCache::find(std::string_view word, std::uint64_t hash, std::vector<ModelToken>& out) const {
  if (slots_.empty()) return false;
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < kProbes; ++i) {
    const Slot& slot = slots_[(hash + i) & mask];
    if (!slot.used) return false;
    if (slot.hash != hash || std::string_view(words_).substr(slot.word, slot.word_size) != word) continue;
    const ModelToken* first = tokens_.data() + slot.tokens;
    if (slot.token_count == 1) {
      out.push_back(*first);
    } else {
      out.insert(out.end(), first, first + slot.token_count);
    }
    return true;
  }
  return false;
}

void WordCache::grow() {
  std::vector<Slot> old;
  old.swap(slots_);
  slots_.resize(old.empty() ? kFirstSlots : old.size() * 4);
  const std::size_t mask = slots_.size() - 1;
  used_ = 0;
  for (const Slot& slot : old) {
    if (!slot.used) continue;
    for (std::size_t i = 0; i < kProbes; ++i) {
      Slot& free = slots_[(slot.hash + i) & mask];
      if (free.used) continue;
      free = slot;
      ++used_;
      break;
    }
  }
}

void WordCache::add(std::string_view word, std::uint64_t hash, std::span<const ModelToken> tokens) {
  if (slots_.empty() || (used_ * 2 > slots_.size() && slots_.size() < kMostSlots)) grow();
  if (words_.size() + word.size() > kMostBytes || tokens_.size() + tokens.size() > kMostTokens) {
    words_.clear();
    tokens_.clear();
    slots_.assign(slots_.size(), {});
    used_ = 0;
  }
  const std::size_t mask = slots_.size() - 1;
  Slot* slot = &slots_[hash & mask];
  for (std::size_t i = 0; i < kProbes; ++i) {
    Slot& candidate = slots_[(hash + i) & mask];
    if (candidate.used) continue;
    slot = &candidate;
    ++used_;
    break;
  }
  *slot = {hash,
           static_cast<std::uint32_t>(words_.size()),
           static_cast<std::uint32_t>(tokens_.size()),
           static_cast<std::uint16_t>(word.size()),
           static_cast<std::uint16_t>(tokens.size()),
           true};
  words_ += word;
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

}  // namespace bigmodel::tokenizer
