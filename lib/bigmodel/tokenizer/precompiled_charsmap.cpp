// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/precompiled_charsmap.h"

#include <algorithm>

#include <fmt/format.h>

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) out |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return out;
}

// A unit of the double array (Darts-clone): bit 8 a leaf hangs below, bit 9 the offset is in units of 256.
constexpr bool has_leaf(std::uint32_t unit) { return ((unit >> 8) & 1) != 0; }
constexpr std::uint32_t label(std::uint32_t unit) { return unit & ((1U << 31) | 0xFF); }
constexpr std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
constexpr std::uint32_t value(std::uint32_t unit) { return unit & ((1U << 31) - 1); }

}  // namespace

PrecompiledCharsmap::PrecompiledCharsmap(std::string_view bytes, const std::string& object) {
  if (bytes.size() < 4) throw FormatError(fmt::format("{}: charsmap of {} bytes, expected at least 4", object, bytes.size()));
  const std::uint32_t trie_bytes = little_endian(bytes, 0);
  if (trie_bytes % 4 != 0 || trie_bytes > bytes.size() - 4) {
    throw FormatError(fmt::format("{}: charsmap's trie of {} bytes does not fit in {}", object, trie_bytes, bytes.size()));
  }
  units_.resize(trie_bytes / 4);
  for (std::size_t i = 0; i < units_.size(); ++i) units_[i] = little_endian(bytes, 4 + 4 * i);
  replacements_ = bytes.substr(4 + trie_bytes);
  if (find_invalid_utf8(replacements_) != std::string::npos) throw FormatError(fmt::format("{}: charsmap is not UTF-8", object));
}

std::string_view PrecompiledCharsmap::replacement(std::uint32_t at) const noexcept {
  if (at >= replacements_.size() || is_continuation(replacements_[at])) return {};
  const std::size_t end = replacements_.find('\0', at);
  return std::string_view(replacements_).substr(at, end == std::string::npos ? end : end - at);
}

template <typename Found>
void PrecompiledCharsmap::walk(std::string_view text, Found found) const noexcept {
  if (units_.empty()) return;
  std::uint32_t node = offset(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0) return;
    node ^= c;
    if (node >= units_.size() || label(units_[node]) != c) return;
    const std::uint32_t unit = units_[node];
    node ^= offset(unit);
    if (has_leaf(unit)) {
      if (node >= units_.size() || !found(i + 1, value(units_[node]))) return;
    }
  }
}

std::optional<std::string_view> PrecompiledCharsmap::shortest(std::string_view text) const noexcept {
  std::optional<std::string_view> out;
  walk(text, [&](std::size_t, std::uint32_t at) {
    out = replacement(at);
    return false;
  });
  return out;
}

std::optional<std::pair<std::string_view, std::size_t>> PrecompiledCharsmap::longest(std::string_view text) const noexcept {
  std::optional<std::pair<std::string_view, std::size_t>> out;
  walk(text, [&](std::size_t size, std::uint32_t at) {
    out = {replacement(at), size};
    return true;
  });
  return out;
}

}  // namespace bigmodel::tokenizer
