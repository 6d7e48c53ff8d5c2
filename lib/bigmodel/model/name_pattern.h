// SPDX-License-Identifier: Apache-2.0
// Patterns over module names as quantisation configs write them: whole names, transformers' prefixes and suffixes, wildcards, and the
// regular expressions of Python that such lists use. Matching takes time linear in the name, whatever the pattern.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

/// Literals, `.`, classes, \d \w \s \b, groups, `|`, `* + ? {m,n}` (lazy ones too), `^ $`, lookahead. Throws UnsupportedError for what it
/// does not know (back references, lookbehind) and for patterns that grow beyond 4096 steps. Bytes, not code points. Immutable.
class NameRegex {
 public:
  explicit NameRegex(std::string_view pattern);

  /// Where a match that starts at the first byte may end, in ascending order. Names beyond 4096 bytes match nothing.
  std::vector<std::size_t> ends(std::string_view name) const;

 private:
  friend class NameRegexParser;
  enum class Op : std::uint8_t { set, split, jump, begin, end, word_edge, look, match };
  struct Step {
    Op op = Op::match;
    bool negative = false;       ///< look
    std::uint32_t a = 0, b = 0;  ///< split: both; jump: a; set: a is the class; look: a is where its steps start, b where it goes on
  };
  std::vector<std::size_t> run(std::uint32_t start, std::string_view name, std::size_t from) const;

  std::vector<Step> steps_;
  std::vector<std::bitset<256>> classes_;
};

class NamePattern {
 public:
  /// The whole name.
  static NamePattern exact(std::string text);
  /// As transformers skips modules: a regular expression from the start up to a module's boundary, or the end of the name. A text that is
  /// no regular expression counts as itself.
  static NamePattern module(std::string text);
  /// As compressed-tensors names them: "re:..." is a regular expression from the start, else the whole name.
  static NamePattern target(std::string text);
  /// Shell wildcards over the whole name.
  static NamePattern wildcard(std::string_view text);
  /// A regular expression from the start.
  static NamePattern regex(std::string_view text);

  bool matches(std::string_view name) const;
  const std::string& text() const { return text_; }

 private:
  enum class Kind { exact, module, start, whole };
  NamePattern(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}

  Kind kind_;
  std::string text_;
  std::vector<NameRegex> regex_;  ///< none or one
};

}  // namespace bigmodel
