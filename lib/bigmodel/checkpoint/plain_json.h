// SPDX-License-Identifier: Apache-2.0
// Reads JSON of the plainest spelling in one pass over its text: ASCII strings without escapes, whole numbers. Headers and indexes of
// checkpoints are written so; whoever meets anything else starts anew with the full parser, which also words what is wrong.
#pragma once

#include <cstdint>
#include <string_view>

namespace bigmodel {

/// Each call goes over one token and the blanks before it, or returns false and leaves the text to the full parser.
class PlainJson {
 public:
  explicit PlainJson(std::string_view text) : text_(text) {}

  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  /// A view into the text.
  bool string(std::string_view& out) {
    if (!take('"')) return false;
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= ' ' && text_[at_] <= '~' && text_[at_] != '"' && text_[at_] != '\\') ++at_;
    out = text_.substr(begin, at_ - begin);
    return at_ < text_.size() && text_[at_++] == '"';
  }
  /// An object; `member` gets each key, takes its value and says whether it could.
  template <typename Member>
  bool object(Member&& member) {
    return sequence('{', '}', [&] {
      std::string_view key;
      return string(key) && take(':') && member(key);
    });
  }
  /// A list; `element` takes each and says whether it could.
  template <typename Element>
  bool list(Element&& element) {
    return sequence('[', ']', element);
  }
  /// A whole number that is not negative, of at most 18 digits.
  bool number(std::uint64_t& out) {
    skip_blanks();
    const std::size_t begin = at_;
    out = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) out = out * 10 + static_cast<std::uint64_t>(text_[at_] - '0');
    const std::size_t digits = at_ - begin;
    return digits > 0 && digits <= 18 && (digits == 1 || text_[begin] != '0');
  }
  bool at_end() {
    skip_blanks();
    return at_ == text_.size();
  }

 private:
  template <typename Part>
  bool sequence(char open, char close, Part&& part) {
    if (!take(open)) return false;
    if (take(close)) return true;
    do {
      if (!part()) return false;
    } while (take(','));
    return take(close);
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace bigmodel
