// SPDX-License-Identifier: Apache-2.0
// The first line as the regular expression of a tokenizer.json, the rest as the text that it splits. Only a bigmodel::Error may come out,
// and soon; what the split gives covers the text from its begin to its end, in whole characters, and twice the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/regex.h"
#include "bigmodel/tokenizer/split_pattern.h"
#include "bigmodel/tokenizer/utf8.h"

namespace {

using namespace bigmodel;

/// Files and texts are UTF-8 long before a pattern is made of them.
bool is_utf8(std::string_view text) { return tokenizer::find_invalid_utf8(text) == std::string_view::npos; }

void check_cover(std::string_view text, const std::vector<tokenizer::Match>& matches) {
  std::size_t at = 0;
  for (const tokenizer::Match& match : matches) {
    if (match.begin != at || match.end < match.begin || match.end > text.size()) std::abort();
    if (match.begin < text.size() && tokenizer::is_continuation(text[match.begin])) std::abort();
    at = match.end;
  }
  if (at != text.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view pattern = input.substr(0, input.find('\n'));
  const std::string_view text = pattern.size() < input.size() ? input.substr(pattern.size() + 1) : std::string_view();
  if (!is_utf8(pattern) || !is_utf8(text)) return 0;
  try {
    const tokenizer::Regex regex{std::string(pattern)};
    (void)tokenizer::known_split_pattern(regex.pattern());
    std::vector<tokenizer::Match> matches, again;
    regex.split(text, matches);
    check_cover(text, matches);
    tokenizer::Regex(regex).split(text, again);
    if (matches.size() != again.size()) std::abort();
    const tokenizer::Regex literal = tokenizer::Regex::of_literal(pattern);
    literal.split(text, matches);
    check_cover(text, matches);
  } catch (const Error&) {
  }
  return 0;
}
