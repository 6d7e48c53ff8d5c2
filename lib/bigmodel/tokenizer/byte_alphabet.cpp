// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/byte_alphabet.h"

#include <vector>

namespace bigmodel::tokenizer {
namespace {

constexpr std::array<std::int16_t, 324> character_bytes() {
  std::array<std::int16_t, 324> out{};
  out.fill(-1);
  for (std::size_t b = 0; b < 256; ++b) out[kByteCharacters[b]] = static_cast<std::int16_t>(b);
  return out;
}

}  // namespace

std::optional<std::uint8_t> byte_of_character(char32_t c) noexcept {
  static constexpr auto kBytes = character_bytes();
  if (c >= kBytes.size() || kBytes[c] < 0) return std::nullopt;
  return static_cast<std::uint8_t>(kBytes[c]);
}

void to_byte_alphabet(AlignedText& text) {
  std::vector<Change> changes;
  changes.reserve(text.text().size());
  for (const char c : text.text()) changes.push_back({kByteCharacters[static_cast<unsigned char>(c)], is_continuation(c) ? 1 : 0});
  text.transform(changes);
}

void append_byte_alphabet(std::string& out, std::string_view bytes) {
  for (const char c : bytes) append_utf8(out, kByteCharacters[static_cast<unsigned char>(c)]);
}

}  // namespace bigmodel::tokenizer
