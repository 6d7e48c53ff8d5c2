// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/utf8.h"

#include <bit>
#include <cstring>

namespace bigmodel::tokenizer {
namespace {

constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;

/// Length of the well-formed character at `at`, or 0; `bad` is then the length of the maximal ill-formed part.
std::size_t well_formed(std::string_view text, std::size_t at, std::size_t& bad) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  bad = 1;
  if (first < 0x80) return 1;
  unsigned low = 0x80, high = 0xBF;
  std::size_t size = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    size = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    size = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    size = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < size; ++i) {
    if (at + i >= text.size() || byte(at + i) < low || byte(at + i) > high) {
      bad = i;
      return 0;
    }
    low = 0x80;
    high = 0xBF;
  }
  return size;
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) noexcept {
  std::size_t at = 0, bad = 0;
  while (at < text.size()) {
    while (at + 8 <= text.size()) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + at, 8);
      if (word & kHighBits) {
        if constexpr (std::endian::native == std::endian::little) at += static_cast<std::size_t>(std::countr_zero(word & kHighBits)) / 8;
        break;
      }
      at += 8;
    }
    if (at >= text.size()) break;
    const std::size_t size = well_formed(text, at, bad);
    if (size == 0) return at;
    at += size;
  }
  return std::string_view::npos;
}

void append_lossy(std::string& out, std::string_view bytes) {
  std::size_t at = 0, bad = 0;
  while (at < bytes.size()) {
    if (const std::size_t size = well_formed(bytes, at, bad); size > 0) {
      out.append(bytes, at, size);
      at += size;
    } else {
      out += "\xEF\xBF\xBD";
      at += bad;
    }
  }
}

std::size_t count_code_points(std::string_view text) noexcept {
  std::size_t count = 0;
  for (const char c : text) count += !is_continuation(c);
  return count;
}

bool is_ascii(std::string_view text) noexcept {
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    if (word & kHighBits) return false;
  }
  for (; at < text.size(); ++at) {
    if (static_cast<unsigned char>(text[at]) >= 0x80) return false;
  }
  return true;
}

}  // namespace bigmodel::tokenizer
