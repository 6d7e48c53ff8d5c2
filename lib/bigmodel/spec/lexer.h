// SPDX-License-Identifier: Apache-2.0
// Text of a description -> tokens with line breaks and indentation (section 2 of docs/architecture-language.md).
#pragma once

#include <string_view>
#include <vector>

#include "bigmodel/spec/source.h"

namespace bigmodel::spec {

enum class TokenKind : std::uint8_t { name, integer, floating, string, op, newline, indent, dedent, end };

struct Token {
  TokenKind kind;
  std::string_view text;  ///< strings without their quotes
  Place place;
};

/// Tokens of text[begin, end) of the source, which starts on line `line`, column `column`. `expression`: a piece inside "{}" of a
/// string, so line breaks and indentation mean nothing. Throws SpecError.
std::vector<Token> lex(const Source& source, std::size_t begin, std::size_t end, std::uint32_t line, std::uint32_t column = 1,
                       bool expression = false);

}  // namespace bigmodel::spec
