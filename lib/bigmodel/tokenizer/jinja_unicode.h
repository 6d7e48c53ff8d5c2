// SPDX-License-Identifier: Apache-2.0
// Characters as Python 3.11's str sees them (Unicode 14.0): classes, and case mappings of any length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer::jinja {

std::u32string decode(std::string_view utf8);
std::string encode(std::u32string_view text);
/// count_code_points() with the sign that Python's numbers have.
inline std::int64_t code_points(std::string_view utf8) { return static_cast<std::int64_t>(count_code_points(utf8)); }

/// Where `part` begins in `text` at or after `from`, or npos; linear in both.
std::size_t find_text(std::u32string_view text, std::u32string_view part, std::size_t from = 0);

bool is_space(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);
/// As `\w`: alphanumeric or underscore.
inline bool is_word(char32_t c) { return c == U'_' || is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c); }
/// The value of a decimal digit of any script, or -1.
int decimal_value(char32_t c);

std::u32string upper(std::u32string_view text);
std::u32string lower(std::u32string_view text);  ///< with final sigma
std::u32string title(std::u32string_view text);
std::u32string capitalize(std::u32string_view text);
std::u32string swapcase(std::u32string_view text);
std::u32string casefold(std::u32string_view text);

}  // namespace bigmodel::tokenizer::jinja
