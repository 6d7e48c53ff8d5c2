// SPDX-License-Identifier: Apache-2.0
// The tables behind unicode_class and regex: code point ranges as the reference answers, written by a generator.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

namespace bigmodel::tokenizer {

struct CodePointRange {
  char32_t first, last;
};

/// Whether one of the ranges, which are in order, holds the code point.
inline bool in_ranges(std::span<const CodePointRange> ranges, char32_t c) noexcept {
  const auto it = std::ranges::upper_bound(ranges, c, {}, &CodePointRange::first);
  return it != ranges.begin() && c <= std::prev(it)->last;
}

struct ScriptRange {
  char32_t first, last;
  std::int16_t script;
};

/// first, first + step, ... last lower-case to themselves + delta.
struct CaseRange {
  char32_t first, last;
  std::int32_t delta;
  std::uint8_t step;
};

/// What a property of the regex engine gained and lost from Unicode 14.0 to 16.0.
struct PropertyUpdate {
  std::string_view name;  ///< lower case without separators
  std::span<const CodePointRange> gained, lost;
};

namespace tables {
std::span<const CodePointRange> word();
std::span<const CodePointRange> white_space();
std::span<const CodePointRange> punctuation();
std::span<const CodePointRange> numeric();
std::span<const CodePointRange> bert_control();
std::span<const CodePointRange> nonspacing_mark();
std::span<const CodePointRange> mark();
std::span<const CodePointRange> letter();
std::span<const CodePointRange> number();
std::span<const CodePointRange> regex_space();
std::span<const CodePointRange> assigned_9();
std::span<const ScriptRange> scripts();
std::span<const CaseRange> lowercase();
std::span<const PropertyUpdate> property_updates();
}  // namespace tables

}  // namespace bigmodel::tokenizer
