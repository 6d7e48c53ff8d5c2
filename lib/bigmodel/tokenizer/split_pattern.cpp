// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/split_pattern.h"

#include "bigmodel/tokenizer/unicode_class.h"

namespace bigmodel::tokenizer {
namespace {

constexpr auto kLetter = static_cast<std::uint16_t>(CharClass::letter);
constexpr auto kNumber = static_cast<std::uint16_t>(CharClass::number);
constexpr auto kSpace = static_cast<std::uint16_t>(CharClass::regex_space);
constexpr std::uint16_t kAny = kLetter | kNumber | kSpace;

constexpr std::array<std::uint8_t, 128> ascii_kinds() {
  std::array<std::uint8_t, 128> out{};
  for (unsigned c = 0; c < 128; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) out[c] = 1;
    if (c >= '0' && c <= '9') out[c] = 2;
    if (c == ' ' || (c >= 9 && c <= 13)) out[c] = 3;
  }
  return out;
}
constexpr auto kAsciiKinds = ascii_kinds();

enum Kind : std::uint8_t { other = 0, letter = 1, number = 2, space = 3, none = 4 };

struct Seen {
  Kind kind = none;
  std::uint32_t size = 0;
};

Seen look(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return {};
  const auto b = static_cast<unsigned char>(text[at]);
  if (b < 0x80) return {static_cast<Kind>(kAsciiKinds[b]), 1};
  const CodePoint p = code_point_at(text, at);
  const std::uint16_t bits = classes_of(p.value) & kAny;
  return {bits & kLetter ? letter : bits & kNumber ? number : bits & kSpace ? space : other, p.size};
}

std::size_t run_end(std::string_view text, std::size_t at, Kind kind) noexcept {
  for (Seen s = look(text, at); s.kind == kind; s = look(text, at)) at += s.size;
  return at;
}

/// The end of white space at `begin` as `\s+(?!\S)|\s+` takes it: a run before a word leaves its last character to the word.
std::size_t spaces_end(std::string_view text, std::size_t begin) noexcept {
  const std::size_t end = run_end(text, begin, space);
  if (end == text.size()) return end;
  const std::size_t last = end - code_point_before(text, end).size;
  return last > begin ? last : end;
}

std::size_t gpt2_end(std::string_view text, std::size_t begin) noexcept {
  const auto byte = [&](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  if (text[begin] == '\'') {
    switch (byte(begin + 1)) {
      case 's':
      case 't':
      case 'm':
      case 'd': return begin + 2;
      case 'r':
      case 'v':
        if (byte(begin + 2) == 'e') return begin + 3;
        break;
      case 'l':
        if (byte(begin + 2) == 'l') return begin + 3;
        break;
      default: break;
    }
  }
  const std::size_t at = begin + (text[begin] == ' ' ? 1 : 0);
  const Seen first = look(text, at);
  if (first.kind == letter || first.kind == number || first.kind == other) return run_end(text, at + first.size, first.kind);
  return spaces_end(text, begin);
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`; 0 where it does not match. U+017F folds to s.
std::size_t contraction(std::string_view text, std::size_t begin) noexcept {
  if (text[begin] != '\'' || begin + 1 >= text.size()) return 0;
  const auto lower = [&](std::size_t i) -> char {
    if (i >= text.size()) return '\0';
    return text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
  };
  switch (lower(begin + 1)) {
    case 's':
    case 't':
    case 'm':
    case 'd': return begin + 2;
    case 'r':
    case 'v': return lower(begin + 2) == 'e' ? begin + 3 : 0;
    case 'l': return lower(begin + 2) == 'l' ? begin + 3 : 0;
    default: return text.substr(begin + 1).starts_with("\xC5\xBF") ? begin + 3 : 0;
  }
}

std::size_t cl100k_end(std::string_view text, std::size_t begin, unsigned most_digits) noexcept {
  if (const std::size_t end = contraction(text, begin)) return end;
  const Seen first = look(text, begin);
  if (first.kind == letter) return run_end(text, begin + first.size, letter);
  const bool newline = text[begin] == '\n' || text[begin] == '\r';
  if (first.kind != number && !newline) {
    const std::size_t after = begin + first.size;
    if (const Seen second = look(text, after); second.kind == letter) return run_end(text, after + second.size, letter);
  }
  if (first.kind == number) {
    std::size_t at = begin + first.size;
    for (unsigned i = 1; i < most_digits; ++i) {
      const Seen next = look(text, at);
      if (next.kind != number) break;
      at += next.size;
    }
    return at;
  }
  const std::size_t at = begin + (text[begin] == ' ' ? 1 : 0);
  if (const Seen s = look(text, at); s.kind == other) {
    std::size_t end = run_end(text, at + s.size, other);
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  // `\s*[\r\n]+`: up to the last newline of the white space.
  const std::size_t end = run_end(text, begin, space);
  for (std::size_t i = end; i > begin; --i) {
    if (text[i - 1] == '\r' || text[i - 1] == '\n') return i;
  }
  return spaces_end(text, begin);
}

}  // namespace

std::optional<SplitPattern> known_split_pattern(std::string_view regex) {
  if (regex == kGpt2Regex || regex == R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)") return SplitPattern::gpt2;
  constexpr std::string_view kHead = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
  constexpr std::string_view kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (!regex.starts_with(kHead) || !regex.ends_with(kTail) || regex.size() < kHead.size() + kTail.size()) return std::nullopt;
  const std::string_view digits = regex.substr(kHead.size(), regex.size() - kHead.size() - kTail.size());
  if (digits.empty()) return SplitPattern::qwen2;
  if (digits == "{1,3}") return SplitPattern::cl100k;
  return std::nullopt;
}

std::size_t split_match_end(SplitPattern pattern, std::string_view text, std::size_t begin) noexcept {
  switch (pattern) {
    case SplitPattern::gpt2: return gpt2_end(text, begin);
    case SplitPattern::cl100k: return cl100k_end(text, begin, 3);
    case SplitPattern::qwen2: return cl100k_end(text, begin, 1);
  }
  return text.size();
}

}  // namespace bigmodel::tokenizer
