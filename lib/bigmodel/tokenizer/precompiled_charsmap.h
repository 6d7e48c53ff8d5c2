// SPDX-License-Identifier: Apache-2.0
// SentencePiece's precompiled_charsmap: a trie in a double array from byte strings to their replacements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::tokenizer {

class PrecompiledCharsmap {
 public:
  PrecompiledCharsmap() = default;
  /// The bytes: u32 size of the trie in bytes, the trie's u32 units (little-endian), then NUL-terminated replacements.
  /// Throws FormatError.
  PrecompiledCharsmap(std::string_view bytes, const std::string& object);

  bool empty() const noexcept { return units_.empty(); }
  /// The replacement of the shortest key that the text begins with. The view lives as long as the map.
  std::optional<std::string_view> shortest(std::string_view text) const noexcept;
  /// The replacement of the longest key that the text begins with, and that key's size (SentencePiece's own rule).
  std::optional<std::pair<std::string_view, std::size_t>> longest(std::string_view text) const noexcept;

 private:
  std::string_view replacement(std::uint32_t at) const noexcept;
  template <typename Found>
  void walk(std::string_view text, Found found) const noexcept;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace bigmodel::tokenizer
