// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/aligned_text.h"

#include <algorithm>

#include "bigmodel/core/error.h"

namespace bigmodel::tokenizer {

void AlignedText::assign(std::string_view text, std::span<const Span> spans, std::uint32_t origin) {
  text_.assign(text);
  origin_ = origin;
  if (!spans.empty()) {
    spans_.assign(spans.begin(), spans.end());
    return;
  }
  spans_.resize(text.size());
  for (std::uint32_t at = 0; at < text.size();) {
    const auto size = static_cast<std::uint32_t>(utf8_length(text[at]));
    const Span span{origin + at, origin + at + size};
    for (std::uint32_t i = 0; i < size; ++i) spans_[at + i] = span;
    at += size;
  }
}

void AlignedText::transform(std::span<const Change> changes, std::size_t removed) {
  next_text_.clear();
  next_spans_.clear();
  std::size_t offset = 0;
  const auto skip = [&] {
    if (offset < text_.size()) offset += utf8_length(text_[offset]);
  };
  for (std::size_t i = 0; i < removed; ++i) skip();
  for (const Change& change : changes) {
    Span span{origin_, origin_};
    if (change.change > 0) {
      if (offset > 0) span = spans_[offset - 1];
    } else {
      BIGMODEL_ASSERT(offset < text_.size());
      span = spans_[offset];
      skip();
      for (int i = change.change; i < 0; ++i) skip();
    }
    append_utf8(next_text_, change.c);
    next_spans_.resize(next_text_.size(), span);
  }
  text_.swap(next_text_);
  spans_.swap(next_spans_);
}

void AlignedText::prepend(std::string_view prefix) {
  if (text_.empty()) return;
  if (prefix.empty()) {
    // The reference then counts the first character as inserted before everything.
    std::fill_n(spans_.begin(), utf8_length(text_.front()), Span{origin_, origin_});
    return;
  }
  // The first character of the prefix takes the old first character's place, the rest shares its span.
  spans_.insert(spans_.begin(), prefix.size(), spans_.front());
  text_.insert(0, prefix);
}

void AlignedText::replace(std::span<const Match> matches, std::string_view content) {
  bool any = false;
  for (const Match& m : matches) any |= m.is_match;
  if (!any) return;
  next_text_.clear();
  next_spans_.clear();
  std::size_t done = 0;
  const auto keep_until = [&](std::size_t end) {
    next_text_.append(text_, done, end - done);
    next_spans_.insert(next_spans_.end(), spans_.begin() + static_cast<std::ptrdiff_t>(done),
                       spans_.begin() + static_cast<std::ptrdiff_t>(end));
  };
  for (const Match& m : matches) {
    if (!m.is_match) continue;
    keep_until(m.begin);
    const Span span = m.end == 0 ? Span{origin_, origin_} : spans_[m.end - 1];
    next_text_ += content;
    next_spans_.resize(next_text_.size(), span);
    done = m.end;
  }
  keep_until(text_.size());
  text_.swap(next_text_);
  spans_.swap(next_spans_);
}

void AlignedText::replace_literal(std::string_view from, std::string_view to) {
  std::size_t at = text_.find(from);
  if (at == std::string::npos) return;
  next_text_.clear();
  next_text_.reserve(text_.size() + text_.size() / 4);
  next_spans_.clear();
  next_spans_.reserve(next_text_.capacity());
  std::size_t done = 0;
  while (true) {
    const std::size_t end = at == std::string::npos ? text_.size() : at;
    next_text_.append(text_, done, end - done);
    next_spans_.insert(next_spans_.end(), spans_.begin() + static_cast<std::ptrdiff_t>(done),
                       spans_.begin() + static_cast<std::ptrdiff_t>(end));
    if (at == std::string::npos) break;
    done = at + from.size();
    const Span span = spans_[done - 1];
    next_text_ += to;
    next_spans_.resize(next_text_.size(), span);
    at = text_.find(from, done);
  }
  text_.swap(next_text_);
  spans_.swap(next_spans_);
}

}  // namespace bigmodel::tokenizer
