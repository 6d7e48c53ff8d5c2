// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/unicode_class.h"

#include <algorithm>
#include <vector>

#include "bigmodel/tokenizer/unicode_tables.h"

namespace bigmodel::tokenizer {
namespace {

/// Below this every code point has its own entry; above lie few and large ranges.
constexpr char32_t kDense = 0x32400;

struct ClassRanges {
  CharClass bit;
  std::span<const CodePointRange> ranges;
};

std::array<ClassRanges, 11> all_classes() {
  return {{{CharClass::word, tables::word()},
           {CharClass::white_space, tables::white_space()},
           {CharClass::punctuation, tables::punctuation()},
           {CharClass::numeric, tables::numeric()},
           {CharClass::bert_control, tables::bert_control()},
           {CharClass::nonspacing_mark, tables::nonspacing_mark()},
           {CharClass::mark, tables::mark()},
           {CharClass::letter, tables::letter()},
           {CharClass::number, tables::number()},
           {CharClass::regex_space, tables::regex_space()},
           {CharClass::assigned_9, tables::assigned_9()}}};
}

std::vector<std::uint16_t> dense_table() {
  std::vector<std::uint16_t> out(kDense, 0);
  for (const ClassRanges& c : all_classes()) {
    for (const CodePointRange& r : c.ranges) {
      for (char32_t p = r.first; p <= r.last && p < kDense; ++p) out[p] |= static_cast<std::uint16_t>(c.bit);
    }
  }
  return out;
}

}  // namespace

std::uint16_t classes_of(char32_t c) noexcept {
  static const std::vector<std::uint16_t> kTable = dense_table();
  if (c < kDense) return kTable[c];
  std::uint16_t out = 0;
  for (const ClassRanges& entry : all_classes()) {
    if (in_ranges(entry.ranges, c)) out |= static_cast<std::uint16_t>(entry.bit);
  }
  return out;
}

bool is_in(char32_t c, CharClass wanted) noexcept { return (classes_of(c) & static_cast<std::uint16_t>(wanted)) != 0; }

int script_of(char32_t c) noexcept {
  const auto ranges = tables::scripts();
  const auto it = std::ranges::upper_bound(ranges, c, {}, &ScriptRange::first);
  if (it == ranges.begin() || c > std::prev(it)->last) return kAnyScript;
  return std::prev(it)->script;
}

std::array<char32_t, 2> lowercase_of(char32_t c) noexcept {
  if (c < 0x80) return {c >= 'A' && c <= 'Z' ? c + 32 : c, 0};
  if (c == 0x130) return {'i', 0x307};
  const auto ranges = tables::lowercase();
  const auto it = std::ranges::upper_bound(ranges, c, {}, &CaseRange::first);
  if (it == ranges.begin()) return {c, 0};
  const CaseRange& r = *std::prev(it);
  if (c > r.last || (c - r.first) % r.step != 0) return {c, 0};
  return {static_cast<char32_t>(static_cast<std::int32_t>(c) + r.delta), 0};
}

}  // namespace bigmodel::tokenizer
