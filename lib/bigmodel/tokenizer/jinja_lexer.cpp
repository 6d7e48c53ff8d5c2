// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::array<std::u32string_view, 6> kLongOperators{U"//", U"**", U"==", U"!=", U">=", U"<="};
constexpr std::size_t kMostBrackets = 150;
constexpr std::u32string_view kOperators = U"+-/*%~[](){}><=.:|,;";

bool is_digit_of(char32_t c, int base) {
  if (base == 16) return (c >= U'0' && c <= U'9') || (c >= U'a' && c <= U'f') || (c >= U'A' && c <= U'F');
  return c >= U'0' && c < static_cast<char32_t>(U'0' + static_cast<char32_t>(base));
}

int digit_value(char32_t c) {
  if (c <= U'9') return static_cast<int>(c - U'0');
  return static_cast<int>((c | 0x20) - U'a') + 10;
}

/// The end of digits, each perhaps after one underscore; `first` says whether an underscore may come first.
std::size_t digits_end(std::u32string_view text, std::size_t at, int base, bool underscore_first) {
  bool any = underscore_first;
  while (at < text.size()) {
    if (is_digit_of(text[at], base)) {
      ++at;
      any = true;
    } else if (any && text[at] == U'_' && at + 1 < text.size() && is_digit_of(text[at + 1], base)) {
      at += 2;
    } else {
      break;
    }
  }
  return at;
}

Value parse_integer(std::u32string_view text, int base) {
  Int value = 0;
  for (const char32_t c : text) {
    if (c == U'_') continue;
    if (__builtin_mul_overflow(value, static_cast<Int>(base), &value) ||
        __builtin_add_overflow(value, static_cast<Int>(digit_value(c)), &value)) {
      throw JinjaError("OverflowError", "integer literal of more than 127 bits");
    }
  }
  return Value(value);
}

/// Python's escapes. Throws JinjaError without a place.
std::u32string unescape(std::u32string_view text) {
  std::u32string out;
  const auto fail = [](const char* what) { throw JinjaError("TemplateSyntaxError", what); };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != U'\\') {
      out.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) fail("\\ at end of string");
    const char32_t c = text[i];
    constexpr std::u32string_view kFrom = U"\\'\"abfnrtv";
    constexpr std::u32string_view kTo = U"\\'\"\a\b\f\n\r\t\v";
    if (const std::size_t simple = kFrom.find(c); simple != std::u32string_view::npos) {
      out.push_back(kTo[simple]);
    } else if (c == U'\n') {
      continue;
    } else if (c >= U'0' && c <= U'7') {
      char32_t value = 0;
      std::size_t k = 0;
      for (; k < 3 && i + k < text.size() && text[i + k] >= U'0' && text[i + k] <= U'7'; ++k) value = value * 8 + (text[i + k] - U'0');
      out.push_back(value);
      i += k - 1;
    } else if (c == U'x' || c == U'u' || c == U'U') {
      const std::size_t want = c == U'x' ? 2 : c == U'u' ? 4 : 8;
      char32_t value = 0;
      std::size_t k = 0;
      for (; k < want && i + 1 + k < text.size() && is_digit_of(text[i + 1 + k], 16); ++k) {
        value = value * 16 + static_cast<char32_t>(digit_value(text[i + 1 + k]));
      }
      if (k < want) fail(c == U'x' ? "truncated \\xXX escape" : c == U'u' ? "truncated \\uXXXX escape" : "truncated \\UXXXXXXXX escape");
      if (value > 0x10FFFF) fail("illegal Unicode character");
      out.push_back(value);
      i += want;
    } else if (c == U'N') {
      fail(i + 1 < text.size() && text[i + 1] == U'{' ? "unknown Unicode character name" : "malformed \\N character escape");
    } else {
      out.push_back(U'\\');
      // The reference turns what is not ASCII into an escape of its own first, which the backslash then spoils.
      if (c < 0x80) {
        out.push_back(c);
      } else {
        const auto value = static_cast<std::uint32_t>(c);
        out += decode(value <= 0xFF ? fmt::format("x{:02x}", value) : value <= 0xFFFF ? fmt::format("u{:04x}", value) : fmt::format("U{:08x}", value));
      }
    }
  }
  return out;
}

std::u32string with_plain_newlines(std::string_view source) {
  std::u32string text = decode(source);
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U'\r') {
      out.push_back(U'\n');
      if (i + 1 < text.size() && text[i + 1] == U'\n') ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  if (!out.empty() && out.back() == U'\n') out.pop_back();
  return out;
}

}  // namespace

std::string describe(TokenType type) {
  switch (type) {
    case TokenType::data: return "template data / text";
    case TokenType::variable_begin: return "begin of print statement";
    case TokenType::variable_end: return "end of print statement";
    case TokenType::block_begin: return "begin of statement block";
    case TokenType::block_end: return "end of statement block";
    case TokenType::name: return "name";
    case TokenType::string: return "string";
    case TokenType::integer: return "integer";
    case TokenType::floating: return "float";
    case TokenType::op: return "operator";
    case TokenType::eof: return "end of template";
  }
  return "token";
}

std::string describe(const Token& token) {
  if (token.type == TokenType::name || token.type == TokenType::op) return token.text;
  return describe(token.type);
}

Lexer::Lexer(std::string_view source) : source_(with_plain_newlines(source)) {
  line_starts_.push_back(0);
  for (std::size_t i = 0; i < source_.size(); ++i) {
    if (source_[i] == U'\n') line_starts_.push_back(i + 1);
  }
}

Place Lexer::place_at(std::size_t at) const {
  const auto it = std::ranges::upper_bound(line_starts_, at);
  const auto line = static_cast<std::uint32_t>(it - line_starts_.begin());
  return {line, static_cast<std::uint32_t>(at - *std::prev(it)) + 1};
}

void Lexer::fail(const std::string& message, std::size_t at) const {
  throw JinjaError("TemplateSyntaxError", message, place_at(std::min(at, source_.size())));
}

std::size_t Lexer::skip_space(std::size_t at) const {
  while (at < source_.size() && is_space(source_[at])) ++at;
  return at;
}

Token Lexer::make(TokenType type, std::size_t begin, std::string text) const {
  Token token;
  token.type = type;
  token.text = std::move(text);
  token.place = place_at(begin);
  return token;
}

/// What stands before a tag, with what the tag's sign and lstrip_blocks take away.
std::u32string_view Lexer::strip_text(std::u32string_view text, char32_t sign, bool variable) const {
  if (sign == U'-') {
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
  }
  if (sign == U'+' || variable) return text;
  const std::size_t newline = text.rfind(U'\n');
  const std::size_t begin = newline == std::u32string_view::npos ? 0 : newline + 1;
  if (begin == 0 && !line_starting_) return text;
  const std::u32string_view last = text.substr(begin);
  if (!last.empty() && std::ranges::all_of(last, is_space)) return text.substr(0, begin);
  return text;
}

void Lexer::move_to(std::size_t end) {
  line_starting_ = end > at_ && source_[end - 1] == U'\n';
  at_ = end;
}

/// Text up to the next tag and the tag's begin, into pending_.
void Lexer::read_root() {
  const std::u32string_view text(source_);
  std::size_t tag = text.find(U'{', at_);
  while (tag != std::u32string_view::npos && (tag + 1 >= text.size() || std::u32string_view(U"%{#").find(text[tag + 1]) == std::u32string_view::npos)) {
    tag = text.find(U'{', tag + 1);
  }
  if (tag == std::u32string_view::npos) {
    pending_.push_back(make(TokenType::data, at_, encode(text.substr(at_))));
    move_to(source_.size());
    return;
  }
  const char32_t kind = text[tag + 1];
  std::size_t end = tag + 2;
  const char32_t sign = end < text.size() && (text[end] == U'-' || text[end] == U'+') ? text[end] : U'\0';
  if (sign != U'\0') ++end;
  const std::u32string_view data = strip_text(text.substr(at_, tag - at_), sign, kind == U'{');
  if (!data.empty()) pending_.push_back(make(TokenType::data, at_, encode(data)));
  state_ = kind == U'{' ? State::variable : kind == U'#' ? State::comment : State::block;
  if (kind == U'%') {
    std::size_t word = skip_space(end);
    if (text.substr(word, 3) == U"raw") {
      word = skip_space(word + 3);
      const bool strip = text.substr(word, 3) == U"-%}";
      if (strip || text.substr(word, 2) == U"%}") {
        state_ = State::raw;
        end = strip ? skip_space(word + 3) : word + 2;
      }
    }
  }
  if (state_ == State::variable || state_ == State::block) {
    pending_.push_back(make(state_ == State::variable ? TokenType::variable_begin : TokenType::block_begin, tag, ""));
  }
  move_to(end);
}

/// Past `#}`, with the whitespace that its sign or trim_blocks takes.
void Lexer::skip_comment() {
  const std::size_t close = source_.find(U"#}", at_);
  if (close == std::u32string::npos) {
    if (at_ < source_.size()) fail("Missing end of comment tag", at_);
    state_ = State::root;
    return;
  }
  const char32_t sign = close > at_ ? source_[close - 1] : U'\0';
  std::size_t end = close + 2;
  if (sign == U'-') {
    end = skip_space(end);
  } else if (sign != U'+' && end < source_.size() && source_[end] == U'\n') {
    ++end;
  }
  state_ = State::root;
  move_to(end);
}

void Lexer::read_raw() {
  const std::u32string_view text(source_);
  for (std::size_t tag = text.find(U"{%", at_); tag != std::u32string_view::npos; tag = text.find(U"{%", tag + 1)) {
    std::size_t end = tag + 2;
    const char32_t sign = end < text.size() && (text[end] == U'-' || text[end] == U'+') ? text[end] : U'\0';
    if (sign != U'\0') ++end;
    end = skip_space(end);
    if (text.substr(end, 6) != U"endraw") continue;
    end = skip_space(end + 6);
    if (text.substr(end, 3) == U"-%}") {
      end = skip_space(end + 3);
    } else if (text.substr(end, 3) == U"+%}") {
      end += 3;
    } else if (text.substr(end, 2) == U"%}") {
      end += 2;
      if (end < text.size() && text[end] == U'\n') ++end;
    } else {
      continue;
    }
    const std::u32string_view data = strip_text(text.substr(at_, tag - at_), sign, false);
    if (!data.empty()) pending_.push_back(make(TokenType::data, at_, encode(data)));
    state_ = State::root;
    move_to(end);
    return;
  }
  if (at_ < source_.size()) fail("Missing end of raw directive", at_);
  state_ = State::root;
}

bool Lexer::read_tag_end() {
  if (!brackets_.empty()) return false;
  const std::u32string_view rest = std::u32string_view(source_).substr(at_);
  const bool block = state_ == State::block;
  const std::u32string_view close = block ? U"%}" : U"}}";
  std::size_t end = at_;
  if (rest.size() > 2 && rest[0] == U'-' && rest.substr(1, 2) == close) {
    end = skip_space(at_ + 3);
  } else if (block && rest.size() > 2 && rest[0] == U'+' && rest.substr(1, 2) == close) {
    end = at_ + 3;
  } else if (rest.substr(0, 2) == close) {
    end = at_ + 2;
    if (block && end < source_.size() && source_[end] == U'\n') ++end;
  } else {
    return false;
  }
  pending_.push_back(make(block ? TokenType::block_end : TokenType::variable_end, at_, ""));
  state_ = State::root;
  move_to(end);
  return true;
}

bool Lexer::read_number() {
  const std::u32string_view text(source_);
  const std::size_t begin = at_;
  if (!is_digit_of(text[begin], 10)) return false;
  const std::size_t whole = digits_end(text, begin, 10, false);
  std::size_t end = whole;
  if (begin == 0 || text[begin - 1] != U'.') {
    if (end + 1 < text.size() && text[end] == U'.' && is_digit_of(text[end + 1], 10)) end = digits_end(text, end + 1, 10, false);
    std::size_t exponent = end;
    if (exponent < text.size() && (text[exponent] | 0x20) == U'e') {
      ++exponent;
      if (exponent < text.size() && (text[exponent] == U'+' || text[exponent] == U'-')) ++exponent;
      if (exponent < text.size() && is_digit_of(text[exponent], 10)) end = digits_end(text, exponent, 10, false);
    }
  }
  Token token;
  if (end != whole) {
    std::string digits = encode(text.substr(begin, end - begin));
    std::erase(digits, '_');
    token = make(TokenType::floating, begin, digits);
    token.value = Value(std::strtod(digits.c_str(), nullptr));
  } else {
    int base = 10;
    if (text[begin] == U'0') {
      const char32_t letter = begin + 1 < text.size() ? (text[begin + 1] | 0x20) : U'\0';
      const int other = letter == U'x' ? 16 : letter == U'o' ? 8 : letter == U'b' ? 2 : 0;
      if (other != 0 && digits_end(text, begin + 2, other, true) != begin + 2) {
        base = other;
        end = digits_end(text, begin + 2, other, true);
      } else {
        // Zeros only: a further digit is a token of its own.
        end = begin + 1;
        while (end < text.size() && (text[end] == U'0' || (text[end] == U'_' && end + 1 < text.size() && text[end + 1] == U'0'))) ++end;
      }
    }
    token = make(TokenType::integer, begin, encode(text.substr(begin, end - begin)));
    try {
      token.value = parse_integer(text.substr(base == 10 ? begin : begin + 2, base == 10 ? end - begin : end - begin - 2), base);
    } catch (JinjaError& error) {
      error.place = place_at(begin);
      throw;
    }
  }
  pending_.push_back(std::move(token));
  move_to(end);
  return true;
}

bool Lexer::read_string() {
  const char32_t quote = source_[at_];
  if (quote != U'\'' && quote != U'"') return false;
  std::size_t end = at_ + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == U'\\' ? 2 : 1;
  if (end >= source_.size()) return false;
  Token token = make(TokenType::string, at_, "");
  try {
    token.text = encode(unescape(std::u32string_view(source_).substr(at_ + 1, end - at_ - 1)));
  } catch (JinjaError& error) {
    error.place = token.place;
    throw;
  }
  pending_.push_back(std::move(token));
  move_to(end + 1);
  return true;
}

bool Lexer::read_name() {
  std::size_t end = at_;
  while (end < source_.size() && (is_word(source_[end]) || is_identifier_part(source_[end]))) ++end;
  if (end == at_) return false;
  const std::u32string_view name = std::u32string_view(source_).substr(at_, end - at_);
  if (!is_identifier_start(name[0]) || !std::ranges::all_of(name, is_identifier_part)) fail("Invalid character in identifier", at_);
  pending_.push_back(make(TokenType::name, at_, encode(name)));
  move_to(end);
  return true;
}

bool Lexer::read_operator() {
  const std::u32string_view rest = std::u32string_view(source_).substr(at_);
  std::size_t size = 0;
  if (std::ranges::any_of(kLongOperators, [&](std::u32string_view op) { return rest.starts_with(op); })) {
    size = 2;
  } else if (kOperators.find(rest[0]) != std::u32string_view::npos) {
    size = 1;
  } else {
    return false;
  }
  const std::string text = encode(rest.substr(0, size));
  if (text == "{" || text == "(" || text == "[") {
    if (brackets_.size() >= kMostBrackets) fail(fmt::format("more than {} nested brackets", kMostBrackets), at_);
    brackets_.push_back(text == "{" ? U'}' : text == "(" ? U')' : U']');
  } else if (text == "}" || text == ")" || text == "]") {
    if (brackets_.empty()) fail("unexpected '" + text + "'", at_);
    const char32_t expected = brackets_.back();
    brackets_.pop_back();
    if (expected != rest[0]) fail("unexpected '" + text + "', expected '" + encode({&expected, 1}) + "'", at_);
  }
  pending_.push_back(make(TokenType::op, at_, text));
  move_to(at_ + size);
  return true;
}

void Lexer::read_tag() {
  if (read_tag_end()) return;
  if (is_space(source_[at_])) {
    move_to(skip_space(at_));
    return;
  }
  if (read_number() || read_name() || read_string() || read_operator()) return;
  const char32_t c = source_[at_];
  fail(fmt::format("unexpected char {} at {}", repr_text(encode({&c, 1})), at_), at_);
}

Token Lexer::next() {
  while (pending_begin_ == pending_.size()) {
    pending_.clear();
    pending_begin_ = 0;
    if (state_ == State::comment) {
      skip_comment();
    } else if (state_ == State::raw) {
      read_raw();
    } else if (at_ >= source_.size()) {
      Token token;
      token.place = last_;
      return token;
    } else if (state_ == State::root) {
      read_root();
    } else {
      read_tag();
    }
  }
  last_ = pending_[pending_begin_].place;
  return std::move(pending_[pending_begin_++]);
}

}  // namespace bigmodel::tokenizer::jinja
