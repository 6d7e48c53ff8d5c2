// SPDX-License-Identifier: Apache-2.0
// Text of a template -> tokens, one at a time, with trim_blocks and lstrip_blocks on and the last newline dropped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

enum class TokenType : std::uint8_t {
  data, variable_begin, variable_end, block_begin, block_end, name, string, integer, floating, op, eof,
};

struct Token {
  TokenType type = TokenType::eof;
  std::string text;   ///< names, operators, data, strings unescaped
  Value value;        ///< numbers
  Place place;

  bool is_op(std::string_view op) const { return type == TokenType::op && text == op; }
  bool is_name(std::string_view name) const { return type == TokenType::name && text == name; }
};

/// As messages name a token: its text, "end of statement block", "template data / text" ...
std::string describe(const Token& token);
std::string describe(TokenType type);

class Lexer {
 public:
  explicit Lexer(std::string_view source);
  /// Throws JinjaError TemplateSyntaxError.
  Token next();

 private:
  enum class State : std::uint8_t { root, comment, block, variable, raw };

  [[noreturn]] void fail(const std::string& message, std::size_t at) const;
  Place place_at(std::size_t at) const;
  void read_root();
  void skip_comment();
  void read_raw();
  void read_tag();
  bool read_tag_end();
  bool read_number();
  bool read_string();
  bool read_name();
  bool read_operator();
  Token make(TokenType type, std::size_t begin, std::string text) const;
  std::size_t skip_space(std::size_t at) const;
  std::u32string_view strip_text(std::u32string_view text, char32_t sign, bool variable) const;
  void move_to(std::size_t end);

  std::u32string source_;
  std::vector<std::size_t> line_starts_;
  std::size_t at_ = 0;
  State state_ = State::root;
  std::vector<char32_t> brackets_;
  bool line_starting_ = true;
  std::vector<Token> pending_;
  std::size_t pending_begin_ = 0;
  Place last_{1, 1};
};

}  // namespace bigmodel::tokenizer::jinja
