// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/vocabulary.h"

#include <algorithm>
#include <cstring>

#include "bigmodel/core/error.h"

namespace bigmodel::tokenizer {
namespace {

constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15ULL;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  const auto product = static_cast<unsigned __int128>(a ^ kMultiplier) * (b ^ 0xD1B54A32D192ED03ULL);
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <typename T>
std::uint64_t load(const char* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

std::uint64_t hash_bytes(std::string_view bytes) noexcept {
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t h = bytes.size() * kMultiplier;
  while (left > 16) {
    h = mix(load<std::uint64_t>(p) ^ h, load<std::uint64_t>(p + 8));
    p += 16;
    left -= 16;
  }
  std::uint64_t a = 0, b = 0;
  if (left >= 8) {
    a = load<std::uint64_t>(p);
    b = load<std::uint64_t>(p + left - 8);
  } else if (left >= 4) {
    a = load<std::uint32_t>(p);
    b = load<std::uint32_t>(p + left - 4);
  } else if (left > 0) {
    a = static_cast<unsigned char>(p[0]) | (static_cast<std::uint64_t>(static_cast<unsigned char>(p[left / 2])) << 8) |
        (static_cast<std::uint64_t>(static_cast<unsigned char>(p[left - 1])) << 16);
  }
  return mix(a ^ h, b);
}

void Vocabulary::reserve(std::size_t tokens, std::size_t text_bytes) {
  offsets_.reserve(tokens + 1);
  texts_.reserve(text_bytes);
  if (slots_.size() * 2 < tokens * 3) resize(tokens);
}

void Vocabulary::resize(std::size_t tokens) {
  slots_.assign(tokens * 3 / 2 + 16, 0);
  if (tokens >> kEntryBits != 0) entry_mask_ = ~std::uint32_t{0};
  for (std::size_t i = 0; i < size(); ++i) {
    const std::uint64_t hash = hash_bytes(text(i));
    slots_[slot_of(text(i), hash)] = tag(hash) | static_cast<std::uint32_t>(i + 1);
  }
}

std::size_t Vocabulary::slot_of(std::string_view token, std::uint64_t hash) const noexcept {
  const std::uint32_t wanted = tag(hash);
  std::size_t at = home(hash);
  while (slots_[at] != 0 && ((slots_[at] & ~entry_mask_) != wanted || text((slots_[at] & entry_mask_) - 1) != token)) at = at + 1 == slots_.size() ? 0 : at + 1;
  return at;
}

void Vocabulary::add(std::string_view token, std::uint32_t id) {
  if (slots_.size() * 2 < (size() + 1) * 3) resize(std::max<std::size_t>(16, size() * 2));
  const std::uint64_t hash = hash_bytes(token);
  const std::size_t slot = slot_of(token, hash);
  const bool known = slots_[slot] != 0;
  const std::size_t entry = known ? (slots_[slot] & entry_mask_) - 1 : size();
  if (ids_.empty() && id != entry) {
    ids_.reserve(offsets_.capacity());
    for (std::size_t i = 0; i < size(); ++i) ids_.push_back(static_cast<std::uint32_t>(i));
  }
  if (known) {
    if (!ids_.empty()) ids_[entry] = id;
    return;
  }
  if (texts_.size() + token.size() > 0xFFFFFFFFULL) throw CapacityError("vocabulary: more than 4 GiB of token texts");
  if (!ids_.empty() || id != entry) ids_.push_back(id);
  texts_ += token;
  offsets_.push_back(static_cast<std::uint32_t>(texts_.size()));
  slots_[slot] = tag(hash) | static_cast<std::uint32_t>(entry + 1);
  longest_ = std::max(longest_, token.size());
}

void Vocabulary::freeze() {
  by_id_.clear();
  sorted_.clear();
  shared_ids_ = false;
  highest_ = size() == 0 ? 0 : static_cast<std::uint32_t>(size() - 1);
  if (ids_.empty()) return;
  highest_ = *std::ranges::max_element(ids_);
  if (std::size_t{highest_} < 4 * size() + 1024) {
    by_id_.assign(std::size_t{highest_} + 1, 0);
    for (std::size_t i = 0; i < size(); ++i) {
      std::uint32_t& slot = by_id_[ids_[i]];
      shared_ids_ |= slot != 0;
      slot = static_cast<std::uint32_t>(i + 1);
    }
    return;
  }
  sorted_.resize(size());
  for (std::size_t i = 0; i < sorted_.size(); ++i) sorted_[i] = static_cast<std::uint32_t>(i);
  std::ranges::stable_sort(sorted_, {}, [this](std::uint32_t e) { return ids_[e]; });
  for (std::size_t i = 1; i < sorted_.size(); ++i) shared_ids_ |= ids_[sorted_[i]] == ids_[sorted_[i - 1]];
}

std::optional<std::uint32_t> Vocabulary::find(std::string_view token, std::uint64_t hash) const noexcept {
  if (token.size() > longest_ || slots_.empty()) return std::nullopt;
  const std::uint32_t found = slots_[slot_of(token, hash)] & entry_mask_;
  if (found == 0) return std::nullopt;
  return id_at(found - 1);
}

std::optional<std::string_view> Vocabulary::text_of(std::uint32_t id) const noexcept {
  if (ids_.empty()) {
    if (id >= size()) return std::nullopt;
    return text(id);
  }
  if (!by_id_.empty()) {
    if (id >= by_id_.size() || by_id_[id] == 0) return std::nullopt;
    return text(by_id_[id] - 1);
  }
  const auto it = std::ranges::upper_bound(sorted_, id, {}, [this](std::uint32_t e) { return ids_[e]; });
  if (it == sorted_.begin() || ids_[*std::prev(it)] != id) return std::nullopt;
  return text(*std::prev(it));
}

}  // namespace bigmodel::tokenizer
