// SPDX-License-Identifier: Apache-2.0
// A text under change in which every byte remembers the range of the original text that it came from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {

/// Bytes [begin, end) of the original text.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Span&) const = default;
};

/// One character of a rewritten text. `change` > 0: inserted (it takes the range of the byte before the next unread
/// character); 0: takes the place of one old character; -n: takes the place of one and swallows n more.
struct Change {
  char32_t c = 0;
  int change = 0;
};

/// Bounds of a match or of what lies between two.
struct Match {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool is_match = false;
};

/// Text with one Span a byte. All bytes of a character have equal spans. `origin` is where the piece began in the original.
class AlignedText {
 public:
  /// A copy of the piece; empty `spans` stand for a text still as it was at `origin` of the original.
  void assign(std::string_view text, std::span<const Span> spans, std::uint32_t origin);

  const std::string& text() const noexcept { return text_; }
  const std::vector<Span>& spans() const noexcept { return spans_; }
  std::uint32_t origin() const noexcept { return origin_; }
  bool empty() const noexcept { return text_.empty(); }

  /// The whole text becomes `changes`, after `removed` leading characters were dropped.
  void transform(std::span<const Change> changes, std::size_t removed = 0);
  /// Puts `prefix` before a text that is not empty.
  void prepend(std::string_view prefix);
  /// Every match becomes `content`, whose bytes take the span of the match's last byte.
  void replace(std::span<const Match> matches, std::string_view content);
  /// Every occurrence of `from` (not empty) becomes `to`.
  void replace_literal(std::string_view from, std::string_view to);
  /// Keeps the characters for which `keep(c)` holds.
  template <typename Keep>
  void filter(Keep keep);
  /// One character for one.
  template <typename Map>
  void map(Map map);

 private:
  std::string text_, next_text_;
  std::vector<Span> spans_, next_spans_;
  std::vector<Change> changes_;
  std::uint32_t origin_ = 0;
};

template <typename Keep>
void AlignedText::filter(Keep keep) {
  bool all = true;
  for (std::size_t at = 0; at < text_.size() && all;) {
    const CodePoint p = code_point_at(text_, at);
    all = keep(p.value);
    at += p.size;
  }
  if (all) return;
  changes_.clear();
  int removed = 0;
  std::size_t removed_first = 0;
  bool any = false;
  for (std::size_t at = 0; at < text_.size();) {
    const CodePoint p = code_point_at(text_, at);
    at += p.size;
    if (!keep(p.value)) {
      ++removed;
      continue;
    }
    if (any) {
      changes_.back().change = -removed;
    } else {
      removed_first = static_cast<std::size_t>(removed);
    }
    changes_.push_back({p.value, 0});
    any = true;
    removed = 0;
  }
  if (any) changes_.back().change = -removed;
  transform(changes_, removed_first);
}

template <typename Map>
void AlignedText::map(Map map) {
  changes_.clear();
  bool changed = false;
  for (std::size_t at = 0; at < text_.size();) {
    const CodePoint p = code_point_at(text_, at);
    at += p.size;
    const char32_t c = map(p.value);
    changed |= c != p.value;
    changes_.push_back({c, 0});
  }
  if (changed) transform(changes_);
}

}  // namespace bigmodel::tokenizer
