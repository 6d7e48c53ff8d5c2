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
  entries_.reserve(tokens);
  texts_.reserve(text_bytes);
  std::size_t slots = 16;
  while (slots < tokens * 2) slots *= 2;
  if (slots > slots_.size()) {
    slots_.assign(slots, 0);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      slots_[slot_of(text(entries_[i]), hash_bytes(text(entries_[i])))] = static_cast<std::uint32_t>(i + 1);
    }
  }
}

std::size_t Vocabulary::slot_of(std::string_view token, std::uint64_t hash) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at] != 0 && text(entries_[slots_[at] - 1]) != token) at = (at + 1) & mask;
  return at;
}

void Vocabulary::add(std::string_view token, std::uint32_t id) {
  if (slots_.size() < (entries_.size() + 1) * 2) reserve(std::max<std::size_t>(8, entries_.size() * 2), texts_.size());
  const std::size_t slot = slot_of(token, hash_bytes(token));
  if (slots_[slot] != 0) {
    entries_[slots_[slot] - 1].id = id;
    return;
  }
  if (texts_.size() + token.size() > 0xFFFFFFFFULL) throw CapacityError("vocabulary: more than 4 GiB of token texts");
  entries_.push_back({static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(token.size()), id});
  texts_ += token;
  slots_[slot] = static_cast<std::uint32_t>(entries_.size());
  longest_ = std::max(longest_, token.size());
}

void Vocabulary::freeze() {
  highest_ = 0;
  for (const Entry& e : entries_) highest_ = std::max(highest_, e.id);
  by_id_.clear();
  sorted_.clear();
  shared_ids_ = false;
  if (std::size_t{highest_} < 4 * entries_.size() + 1024) {
    by_id_.assign(std::size_t{highest_} + 1, 0);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      std::uint32_t& slot = by_id_[entries_[i].id];
      shared_ids_ |= slot != 0;
      slot = static_cast<std::uint32_t>(i + 1);
    }
    return;
  }
  sorted_.resize(entries_.size());
  for (std::size_t i = 0; i < sorted_.size(); ++i) sorted_[i] = static_cast<std::uint32_t>(i);
  std::ranges::stable_sort(sorted_, {}, [this](std::uint32_t e) { return entries_[e].id; });
  for (std::size_t i = 1; i < sorted_.size(); ++i) shared_ids_ |= entries_[sorted_[i]].id == entries_[sorted_[i - 1]].id;
}

std::optional<std::uint32_t> Vocabulary::find(std::string_view token) const noexcept {
  if (token.size() > longest_ || slots_.empty()) return std::nullopt;
  const std::uint32_t found = slots_[slot_of(token, hash_bytes(token))];
  if (found == 0) return std::nullopt;
  return entries_[found - 1].id;
}

std::optional<std::string_view> Vocabulary::text_of(std::uint32_t id) const noexcept {
  if (!by_id_.empty()) {
    if (id >= by_id_.size() || by_id_[id] == 0) return std::nullopt;
    return text(entries_[by_id_[id] - 1]);
  }
  const auto it = std::ranges::upper_bound(sorted_, id, {}, [this](std::uint32_t e) { return entries_[e].id; });
  if (it == sorted_.begin() || entries_[*std::prev(it)].id != id) return std::nullopt;
  return text(entries_[*std::prev(it)]);
}

}  // namespace bigmodel::tokenizer
