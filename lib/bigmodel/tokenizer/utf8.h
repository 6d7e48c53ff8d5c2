// SPDX-License-Identifier: Apache-2.0
// UTF-8: code points of texts already known to be valid, and the check that makes them so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bigmodel::tokenizer {

/// Bytes of the character that begins with this byte of a valid text.
constexpr std::size_t utf8_length(char first) noexcept {
  const auto b = static_cast<unsigned char>(first);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

constexpr bool is_continuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

struct CodePoint {
  char32_t value = 0;
  std::uint32_t size = 0;  ///< its bytes
};

/// The code point that begins at `at` of a valid text.
constexpr CodePoint code_point_at(std::string_view text, std::size_t at) noexcept {
  const auto b = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const char32_t first = b(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {((first & 0x1F) << 6) | (b(1) & 0x3F), 2};
  if (first < 0xF0) return {((first & 0x0F) << 12) | ((b(1) & 0x3F) << 6) | (b(2) & 0x3F), 3};
  return {((first & 0x07) << 18) | ((b(1) & 0x3F) << 12) | ((b(2) & 0x3F) << 6) | (b(3) & 0x3F), 4};
}

/// The code point that ends before `end` (> 0).
constexpr CodePoint code_point_before(std::string_view text, std::size_t end) noexcept {
  std::size_t at = end - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return code_point_at(text, at);
}

constexpr std::size_t utf8_size(char32_t c) noexcept { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

inline void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

/// Where the first ill-formed sequence begins (overlong, surrogate, above U+10FFFF, cut off); npos if there is none.
std::size_t find_invalid_utf8(std::string_view text) noexcept;

/// Appends the bytes with each maximal ill-formed part replaced by U+FFFD.
void append_lossy(std::string& out, std::string_view bytes);

std::size_t count_code_points(std::string_view text) noexcept;

bool is_ascii(std::string_view text) noexcept;

}  // namespace bigmodel::tokenizer
