// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet: a printable character for every byte.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/aligned_text.h"

namespace bigmodel::tokenizer {

/// The character that stands for a byte: itself where printable in Latin-1, else from U+0100 on.
constexpr std::array<char32_t, 256> byte_characters() {
  std::array<char32_t, 256> out{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
    out[b] = printable ? b : next++;
  }
  return out;
}
inline constexpr std::array<char32_t, 256> kByteCharacters = byte_characters();

/// The byte that a character stands for.
std::optional<std::uint8_t> byte_of_character(char32_t c) noexcept;

/// Every byte of the text becomes its character.
void to_byte_alphabet(AlignedText& text);
void append_byte_alphabet(std::string& out, std::string_view bytes);

}  // namespace bigmodel::tokenizer
