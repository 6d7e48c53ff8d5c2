// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/pre_tokenized.h"

#include <algorithm>

namespace bigmodel::tokenizer {

PreTokenized::PreTokenized(std::string_view original) : original_(original) {
  const auto size = static_cast<std::uint32_t>(original.size());
  if (size > 0) pieces_.push_back({0, size, 0, size, 0, false});
}

Span PreTokenized::span_of(std::uint32_t begin, std::uint32_t end) const noexcept {
  if (rewritten_) return {spans_[begin].begin, spans_[end - 1].end};
  while (begin > 0 && is_continuation(original_[begin])) --begin;
  while (end < original_.size() && is_continuation(original_[end])) ++end;
  return {begin, end};
}

Piece PreTokenized::slice(const Piece& piece, std::uint32_t begin, std::uint32_t end) const noexcept {
  const Span span = span_of(piece.begin + begin, piece.begin + end);
  return {piece.begin + begin, piece.begin + end, span.begin, span.end, 0, false};
}

void PreTokenized::begin_rewrite() {
  next_text_.clear();
  next_spans_.clear();
  next_text_.reserve(text().size());
  next_spans_.reserve(text().size());
}

void PreTokenized::append_rewritten(Piece& piece, std::string_view text, std::span<const Span> spans) {
  piece.begin = static_cast<std::uint32_t>(next_text_.size());
  next_text_ += text;
  next_spans_.insert(next_spans_.end(), spans.begin(), spans.end());
  piece.end = static_cast<std::uint32_t>(next_text_.size());
}

void PreTokenized::append_untouched(Piece& piece) {
  const std::uint32_t begin = piece.begin, end = piece.end;
  const std::string_view kept = text_of(piece);
  piece.begin = static_cast<std::uint32_t>(next_text_.size());
  next_text_ += kept;
  if (rewritten_) {
    next_spans_.insert(next_spans_.end(), spans_.begin() + begin, spans_.begin() + end);
  } else {
    for (std::uint32_t at = begin; at < end; ++at) next_spans_.push_back(span_of(at, at + 1));
  }
  piece.end = static_cast<std::uint32_t>(next_text_.size());
}

void PreTokenized::end_rewrite() {
  text_.swap(next_text_);
  spans_.swap(next_spans_);
  rewritten_ = true;
}

void apply_behavior(std::vector<Match>& matches, SplitBehavior behavior, bool invert) {
  if (invert) {
    for (Match& m : matches) m.is_match = !m.is_match;
  }
  std::size_t kept = 0;
  switch (behavior) {
    case SplitBehavior::isolated:
      return;
    case SplitBehavior::removed:
      std::erase_if(matches, [](const Match& m) { return m.is_match; });
      return;
    case SplitBehavior::contiguous:
    case SplitBehavior::merged_with_previous: {
      bool previous = false;
      for (const Match m : matches) {
        const bool joins = behavior == SplitBehavior::contiguous ? m.is_match == previous : m.is_match && !previous;
        previous = m.is_match;
        if (joins && kept > 0) {
          matches[kept - 1].end = m.end;
        } else {
          matches[kept++] = m;
        }
      }
      matches.resize(kept);
      return;
    }
    case SplitBehavior::merged_with_next: {
      bool previous = false;
      std::reverse(matches.begin(), matches.end());
      for (const Match m : matches) {
        const bool joins = m.is_match && !previous;
        previous = m.is_match;
        if (joins && kept > 0) {
          matches[kept - 1].begin = m.begin;
        } else {
          matches[kept++] = m;
        }
      }
      matches.resize(kept);
      std::reverse(matches.begin(), matches.end());
      return;
    }
  }
}

}  // namespace bigmodel::tokenizer
