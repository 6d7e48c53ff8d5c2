// SPDX-License-Identifier: Apache-2.0
// Character classes as the reference tokenizers see them; no two of them agree on a version of Unicode.
#pragma once

#include <array>
#include <cstdint>

namespace bigmodel::tokenizer {

/// A set of code points that some component asks for.
enum class CharClass : std::uint16_t {
  word = 1,             ///< `\w` of the Whitespace pre-tokenizer and of added tokens' word bounds (Unicode 16.0)
  white_space = 2,      ///< White_Space: WhitespaceSplit, Strip, lstrip and rstrip
  punctuation = 4,      ///< ASCII punctuation and symbols; beyond ASCII category P of Unicode 8.0
  numeric = 8,          ///< category N of Unicode 17.0: Digits
  bert_control = 16,    ///< what BertNormalizer's clean_text drops
  nonspacing_mark = 32, ///< what BertNormalizer's strip_accents drops after NFD
  mark = 64,            ///< what StripAccents drops (Unicode 9.0)
  letter = 128,         ///< `\p{L}` of the regex engine (Unicode 16.0)
  number = 256,         ///< `\p{N}` of the regex engine
  regex_space = 512,    ///< `\s` of the regex engine
  assigned_9 = 1024,    ///< assigned in Unicode 9.0, which normalization forms stop at
};

/// Any thread; the table is built at the first call.
bool is_in(char32_t c, CharClass wanted) noexcept;

/// All classes of a code point, as bits of CharClass.
std::uint16_t classes_of(char32_t c) noexcept;

/// The script number that UnicodeScripts gives a code point; kAnyScript joins its neighbours. Numbers mean nothing else.
inline constexpr int kAnyScript = -1;
int script_of(char32_t c) noexcept;

/// Full lower-casing without context: at most two code points, the rest 0 (Unicode 17.0).
std::array<char32_t, 2> lowercase_of(char32_t c) noexcept;

}  // namespace bigmodel::tokenizer
