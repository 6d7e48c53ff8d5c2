// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/json_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

/// 1e0 ... 1e308, each the nearest double.
const std::array<double, 309> kPowersOfTen = [] {
  std::array<double, 309> out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::string text = fmt::format("1e{}", i);
    std::from_chars(text.data(), text.data() + text.size(), out[i]);
  }
  return out;
}();

/// As deep as the reference goes.
constexpr int kDeepest = 127;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void JsonCursor::fail(std::string_view what) const {
  const std::string_view before = text_.substr(0, std::min(at_, text_.size()));
  const auto lines = std::ranges::count(before, '\n');
  const std::size_t line_begin = before.rfind('\n') + 1;
  throw FormatError(fmt::format("{}: line {}, column {}: {}", object_, lines + 1, before.size() - line_begin + 1, what));
}

void JsonCursor::skip_space() noexcept {
  constexpr std::string_view kIndent = "        ";
  while (at_ < text_.size() && static_cast<unsigned char>(text_[at_]) <= ' ') {
    if (text_[at_] == ' ') {
      while (at_ + kIndent.size() <= text_.size() && std::memcmp(text_.data() + at_, kIndent.data(), kIndent.size()) == 0) at_ += kIndent.size();
      while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    } else if (text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r') {
      ++at_;
    } else {
      return;
    }
  }
}

void JsonCursor::expect(char c, std::string_view what) {
  space();
  if (at_ >= text_.size()) fail(fmt::format("the text ends, expected {}", what));
  if (text_[at_] != c) fail(fmt::format("expected {}", what));
  ++at_;
}

JsonCursor::Kind JsonCursor::peek() {
  space();
  if (at_ >= text_.size()) fail("the text ends, expected a value");
  switch (text_[at_]) {
    case '{': return Kind::object;
    case '[': return Kind::array;
    case '"': return Kind::string;
    case 't':
    case 'f': return Kind::boolean;
    case 'n': return Kind::null;
    default:
      if (is_digit(text_[at_]) || text_[at_] == '-') return Kind::number;
      fail("expected a value");
  }
}

bool JsonCursor::next_key(std::string& key, bool& first) {
  std::string_view view;
  if (!next_key_view(view, key, first)) return false;
  if (view.data() != key.data()) key = view;
  return true;
}

bool JsonCursor::next_key_view(std::string_view& key, std::string& buffer, bool& first) {
  space();
  if (at_ < text_.size() && text_[at_] == '}') {
    ++at_;
    return false;
  }
  if (!first) expect(',', "',' or '}'");
  first = false;
  space();
  if (at_ >= text_.size() || text_[at_] != '"') fail("expected a key in quotes");
  key = view(buffer);
  expect(':', "':'");
  return true;
}

bool JsonCursor::next_element(bool& first) {
  space();
  if (at_ < text_.size() && text_[at_] == ']') {
    // After a comma there must be an element: a comma is only consumed below.
    ++at_;
    return false;
  }
  if (!first) {
    expect(',', "',' or ']'");
    space();
    if (at_ < text_.size() && text_[at_] == ']') fail("a comma before the end of the list");
  }
  first = false;
  return true;
}

std::uint32_t JsonCursor::hex4() {
  if (at_ + 4 > text_.size()) fail("the text ends in an escape");
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[at_];
    if (is_digit(c)) {
      out = out * 16 + static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      out = out * 16 + static_cast<std::uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      out = out * 16 + static_cast<std::uint32_t>(c - 'A' + 10);
    } else {
      fail("expected four hexadecimal digits");
    }
    ++at_;
  }
  return out;
}

void JsonCursor::escape(std::string& out) {
  if (at_ >= text_.size()) fail("the text ends in a string");
  const char c = text_[at_++];
  switch (c) {
    case '"':
    case '\\':
    case '/': out += c; return;
    case 'b': out += '\b'; return;
    case 'f': out += '\f'; return;
    case 'n': out += '\n'; return;
    case 'r': out += '\r'; return;
    case 't': out += '\t'; return;
    case 'u': break;
    default: fail("unknown escape in a string");
  }
  char32_t p = hex4();
  if (p >= 0xDC00 && p <= 0xDFFF) fail("half of a surrogate pair in a string");
  if (p >= 0xD800 && p <= 0xDBFF) {
    if (text_.substr(at_, 2) != "\\u") fail("half of a surrogate pair in a string");
    at_ += 2;
    const std::uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair in a string");
    p = 0x10000 + ((p - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(out, p);
}

/// The first byte from here on that does not stand for itself in a string: a quote, a backslash or a control character.
std::size_t JsonCursor::plain_end() const noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL, kHigh = kOnes * 0x80;
  std::size_t at = at_;
  for (; at + 8 <= text_.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text_.data() + at, 8);
    // High bit of a byte that is zero; exact for the lowest one that is, which is all that counts.
    const auto zero = [](std::uint64_t w) { return (w - kOnes) & ~w & kHigh; };
    const std::uint64_t found = zero(word ^ kOnes * '"') | zero(word ^ kOnes * '\\') | ((word - kOnes * 0x20) & ~word & kHigh);
    if (found == 0) continue;
    if constexpr (std::endian::native == std::endian::little) return at + static_cast<std::size_t>(std::countr_zero(found)) / 8;
    break;
  }
  while (at < text_.size() && text_[at] != '"' && text_[at] != '\\' && static_cast<unsigned char>(text_[at]) >= 0x20) ++at;
  return at;
}

std::string_view JsonCursor::view(std::string& buffer) {
  expect('"', "a text in quotes");
  const std::size_t begin = at_;
  at_ = plain_end();
  const std::string_view plain = text_.substr(begin, at_ - begin);
  if (at_ < text_.size() && text_[at_] == '"') {
    ++at_;
    return plain;
  }
  buffer = plain;
  string_rest(buffer);
  return buffer;
}

void JsonCursor::string(std::string& out) {
  expect('"', "a text in quotes");
  out.clear();
  string_rest(out);
}

void JsonCursor::string_rest(std::string& out) {
  while (true) {
    const std::size_t end = plain_end();
    out.append(text_, at_, end - at_);
    at_ = end;
    if (at_ >= text_.size()) fail("the text ends in a string");
    if (text_[at_] == '"') {
      ++at_;
      return;
    }
    if (text_[at_] != '\\') fail("a control character in a string");
    ++at_;
    escape(out);
  }
}

std::string_view JsonCursor::number() {
  space();
  const std::size_t begin = at_;
  const auto digits = [this] {
    const std::size_t from = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    if (at_ == from) fail("expected a digit");
  };
  if (at_ < text_.size() && text_[at_] == '-') ++at_;
  if (at_ < text_.size() && text_[at_] == '0') {
    ++at_;
    if (at_ < text_.size() && is_digit(text_[at_])) fail("a number with a leading zero");
  } else {
    digits();
  }
  if (at_ < text_.size() && text_[at_] == '.') {
    ++at_;
    digits();
  }
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    digits();
  }
  return text_.substr(begin, at_ - begin);
}

std::uint32_t JsonCursor::id() {
  if (peek() != Kind::number) fail("expected an id");
  const std::size_t begin = at_;
  const std::string_view text = number();
  const std::optional<std::uint32_t> out = parse_number<std::uint32_t>(text);
  if (!out) {
    at_ = begin;
    fail(fmt::format("expected a whole number below 2^32, got {}", text.substr(0, 40)));
  }
  return *out;
}

// Not the nearest double: the reference divides the first 19 or 20 digits by a power of ten, and ties between paths of a Unigram
// model hang on the last bit.
double JsonCursor::real() {
  if (peek() != Kind::number) fail("expected a number");
  const std::string_view text = number();
  std::uint64_t digits = 0;
  std::int64_t exponent = 0;
  bool fraction = false, full = false;
  std::size_t at = text.starts_with('-') ? 1 : 0;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    const auto digit = static_cast<std::uint64_t>(text[at] - '0');
    full = full || digits > (std::numeric_limits<std::uint64_t>::max() - digit) / 10;
    if (!full) {
      digits = digits * 10 + digit;
      exponent -= fraction;
    } else {
      exponent += !fraction;
    }
  }
  if (at < text.size()) {
    const bool plus = text[++at] == '+';
    std::int64_t written = 0;
    const char* end = text.data() + text.size();
    const auto code = std::from_chars(text.data() + at + (plus ? 1 : 0), end, written).ec;
    constexpr std::int64_t kFar = 1'000'000'000;
    if (code != std::errc()) written = text[at] == '-' ? -kFar : kFar;
    exponent += std::clamp(written, -kFar, kFar);
  }
  double out = static_cast<double>(digits);
  for (; exponent < -308 && out != 0; exponent += 308) out /= 1e308;
  if (exponent > 308 && out != 0) fail(fmt::format("number {} is out of range", text.substr(0, 40)));
  if (out != 0) out = exponent < 0 ? out / kPowersOfTen[static_cast<std::size_t>(-exponent)] : out * kPowersOfTen[static_cast<std::size_t>(exponent)];
  if (std::isinf(out)) fail(fmt::format("number {} is out of range", text.substr(0, 40)));
  return text.starts_with('-') ? -out : out;
}

void JsonCursor::skip_word(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) fail("expected a value");
  at_ += word.size();
}

bool JsonCursor::is_null() {
  if (peek() != Kind::null) return false;
  skip_word("null");
  return true;
}

void JsonCursor::skip_value(int depth) {
  if (depth > kDeepest) fail(fmt::format("nested deeper than {} levels", kDeepest));
  std::string ignored;
  bool first = true;
  switch (peek()) {
    case Kind::object:
      begin_object();
      while (next_key(ignored, first)) skip_value(depth + 1);
      return;
    case Kind::array:
      begin_array();
      while (next_element(first)) skip_value(depth + 1);
      return;
    case Kind::string: string(ignored); return;
    case Kind::number: number(); return;
    case Kind::boolean: skip_word(text_[at_] == 't' ? "true" : "false"); return;
    case Kind::null: skip_word("null"); return;
  }
}

JsonCursor::Extent JsonCursor::skip_unchecked() {
  const Kind kind = peek();
  if (kind != Kind::object && kind != Kind::array) fail("expected an object or a list");
  Extent out;
  std::size_t depth = 0;
  do {
    if (at_ >= text_.size()) fail("the text ends, expected the end of an object or a list");
    switch (text_[at_++]) {
      case '{':
      case '[': ++depth; break;
      case '}':
      case ']': --depth; break;
      case ',': out.count += depth == 1; break;
      case ' ':
      case '\n': skip_space(); break;
      case '"': {
        const std::size_t begin = at_;
        for (at_ = plain_end(); at_ < text_.size() && text_[at_] != '"'; at_ = plain_end()) at_ = std::min(at_ + (text_[at_] == '\\' ? 2 : 1), text_.size());
        out.text_bytes += depth == 1 ? at_ - begin : 0;
        ++at_;
        break;
      }
      default: break;
    }
  } while (depth > 0);
  ++out.count;
  return out;
}

std::string_view JsonCursor::skip() {
  space();
  const std::size_t begin = at_;
  skip_value(1);
  return text_.substr(begin, at_ - begin);
}

void JsonCursor::expect_end() {
  space();
  if (at_ < text_.size()) fail("something after the end of the JSON value");
}

}  // namespace bigmodel::tokenizer
