// SPDX-License-Identifier: Apache-2.0
// Regular expressions of tokenizers: Oniguruma in Ruby's syntax, at Unicode 16.0, in bounded steps.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/aligned_text.h"

namespace bigmodel::tokenizer {

/// A compiled pattern. Copies share it; any number of threads may search.
class Regex {
 public:
  /// Throws FormatError where Oniguruma refuses the pattern.
  explicit Regex(std::string pattern);

  /// A pattern that matches exactly this text.
  static Regex of_literal(std::string_view text);

  const std::string& pattern() const noexcept { return pattern_; }
  /// Where it was made by of_literal from a text that is not empty: that text.
  const std::string& literal() const noexcept { return literal_; }

  /// All matches and what lies between them, in order, covering the text; an empty text gives one empty non-match.
  /// Throws UnsupportedError if the search gives up (too many steps).
  void split(std::string_view text, std::vector<Match>& out) const;

 private:
  struct Compiled;
  std::string pattern_;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;
};

/// Appends what lies before, between and after the occurrences of a text that is not empty.
void split_literal(std::string_view text, std::string_view wanted, std::vector<Match>& out);

}  // namespace bigmodel::tokenizer
