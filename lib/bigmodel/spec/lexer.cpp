// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/lexer.h"

#include <fmt/format.h>

#include <array>
#include <cctype>

namespace bigmodel::spec {
namespace {

constexpr std::size_t kMostBlocks = 64;
constexpr std::array<std::string_view, 10> kLongOperators{"?=", "??", "->", "<-", "..", "//", "==", "!=", "<=", ">="};
constexpr std::string_view kOperators = "-+*/%<>=:,.()[]{}?";

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

class Lexer {
 public:
  Lexer(const Source& source, std::uint32_t line, std::uint32_t column, bool expression)
      : source_(source), line_(line), first_column_(column), expression_(expression) {}

  std::vector<Token> run(std::string_view text) {
    while (true) {
      const std::size_t end = text.find('\n');
      read_line(text.substr(0, end));
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 1);
      ++line_;
      first_column_ = 1;
    }
    if (depth_ > 0 && !expression_) fail("a bracket is not closed", 1);
    for (std::size_t i = 1; i < indents_.size(); ++i) push(TokenKind::dedent, {}, 0);
    push(TokenKind::end, {}, 0);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string what, std::size_t column) const {
    throw SpecError(std::move(what), {&source_, line_, static_cast<std::uint32_t>(column)});
  }

  void push(TokenKind kind, std::string_view text, std::size_t offset) {
    tokens_.push_back({kind, text, {&source_, line_, static_cast<std::uint32_t>(offset) + first_column_}});
  }

  void indentation(std::size_t width) {
    if (width > indents_.back()) {
      if (indents_.size() > kMostBlocks) fail(fmt::format("more than {} nested blocks", kMostBlocks), width + 1);
      indents_.push_back(width);
      push(TokenKind::indent, {}, width);
    }
    while (width < indents_.back()) {
      indents_.pop_back();
      push(TokenKind::dedent, {}, width);
    }
    if (width != indents_.back()) fail("indentation matches no open block", width + 1);
  }

  void read_line(std::string_view line) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    std::size_t at = line.find_first_not_of(' ');
    if (at == std::string_view::npos || line[at] == '#') return;
    if (const std::size_t tab = line.find('\t'); tab != std::string_view::npos) fail("tab: indent with spaces", tab + 1);
    if (depth_ == 0 && !expression_) indentation(at);
    while (at < line.size()) {
      if (line[at] == ' ') {
        ++at;
      } else if (line[at] == '#') {
        break;
      } else {
        at += read_token(line, at);
      }
    }
    if (depth_ == 0 && !expression_) push(TokenKind::newline, {}, line.size());
  }

  std::size_t read_token(std::string_view line, std::size_t at) {
    const char c = line[at];
    std::size_t end = at;
    if (is_name_start(c)) {
      while (end < line.size() && is_name_part(line[end])) ++end;
      push(TokenKind::name, line.substr(at, end - at), at);
      return end - at;
    }
    if (is_digit(c)) return read_number(line, at);
    if (c == '"') {
      end = line.find('"', at + 1);
      if (end == std::string_view::npos) fail("a string is not closed", at + first_column_);
      push(TokenKind::string, line.substr(at + 1, end - at - 1), at);
      return end + 1 - at;
    }
    for (const std::string_view op : kLongOperators) {
      if (line.substr(at).starts_with(op)) {
        push(TokenKind::op, line.substr(at, 2), at);
        return 2;
      }
    }
    if (kOperators.find(c) == std::string_view::npos) {
      const bool printable = std::isprint(static_cast<unsigned char>(c)) != 0;
      fail(printable ? fmt::format("unexpected character '{}'", c)
                     : fmt::format("unexpected byte 0x{:02x}", static_cast<unsigned char>(c)),
           at + first_column_);
    }
    if (c == '(' || c == '[' || c == '{') ++depth_;
    if ((c == ')' || c == ']' || c == '}') && depth_ > 0) --depth_;
    push(TokenKind::op, line.substr(at, 1), at);
    return 1;
  }

  std::size_t read_number(std::string_view line, std::size_t at) {
    std::size_t end = at;
    const auto digits = [&] {
      while (end < line.size() && is_digit(line[end])) ++end;
    };
    digits();
    bool floating = false;
    // "1..4" is a range, not a float with a point.
    if (end + 1 < line.size() && line[end] == '.' && is_digit(line[end + 1])) {
      floating = true;
      ++end;
      digits();
    }
    if (end < line.size() && line[end] == 'e') {
      std::size_t exponent = end + 1;
      if (exponent < line.size() && (line[exponent] == '-' || line[exponent] == '+')) ++exponent;
      if (exponent < line.size() && is_digit(line[exponent])) {
        floating = true;
        end = exponent;
        digits();
      }
    }
    push(floating ? TokenKind::floating : TokenKind::integer, line.substr(at, end - at), at);
    return end - at;
  }

  const Source& source_;
  std::uint32_t line_;
  std::uint32_t first_column_;
  bool expression_;
  std::vector<Token> tokens_;
  std::vector<std::size_t> indents_{0};
  int depth_ = 0;
};

}  // namespace

std::vector<Token> lex(const Source& source, std::size_t begin, std::size_t end, std::uint32_t line, std::uint32_t column,
                       bool expression) {
  return Lexer(source, line, column, expression).run(source.text.substr(begin, end - begin));
}

}  // namespace bigmodel::spec
