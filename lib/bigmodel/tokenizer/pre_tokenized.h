// SPDX-License-Identifier: Apache-2.0
// A text on its way to the model: cut into pieces, some of them already tokens.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/aligned_text.h"

namespace bigmodel::tokenizer {

/// Bytes [begin, end) of the text under way, and the part of the original that they stand for.
struct Piece {
  std::uint32_t begin = 0, end = 0;
  std::uint32_t original_begin = 0, original_end = 0;
  std::uint32_t token = 0;  ///< of an added token
  bool is_token = false;
};

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// One text, several pieces. The original must outlive it.
class PreTokenized {
 public:
  explicit PreTokenized(std::string_view original);

  std::string_view original() const noexcept { return original_; }
  std::string_view text() const noexcept { return rewritten_ ? std::string_view(text_) : original_; }
  std::string_view text_of(const Piece& piece) const noexcept { return text().substr(piece.begin, piece.end - piece.begin); }
  const std::vector<Piece>& pieces() const noexcept { return pieces_; }

  /// The original range of bytes [begin, end) of text(); begin < end.
  Span span_of(std::uint32_t begin, std::uint32_t end) const noexcept;

  /// Cuts every piece that is no token yet. `cut(text, emit)` calls emit(begin, end) for the parts to keep, empty ones vanish.
  template <typename Cut>
  void split(Cut cut);
  /// The same by matches, which cover the text.
  template <typename Find>
  void split_by_matches(Find find, SplitBehavior behavior, bool invert);
  /// Cuts with parts that become tokens: emit(begin, end, token or nullptr).
  template <typename Cut>
  void split_tokens(Cut cut);
  /// Rewrites every piece that is no token yet with `change(AlignedText&)`; pieces that come out empty stay.
  template <typename Rewrite>
  void rewrite(Rewrite change);

 private:
  Piece slice(const Piece& piece, std::uint32_t begin, std::uint32_t end) const noexcept;
  void begin_rewrite();
  void append_rewritten(Piece& piece, std::string_view text, std::span<const Span> spans);
  void append_untouched(Piece& piece);
  void end_rewrite();

  std::string_view original_;
  bool rewritten_ = false;
  std::string text_, next_text_;
  std::vector<Span> spans_, next_spans_;
  std::vector<Piece> pieces_, next_pieces_;
  std::vector<Match> matches_;
  AlignedText work_;
};

/// Applies the behavior to matches that cover a text: what is left are the parts to keep.
void apply_behavior(std::vector<Match>& matches, SplitBehavior behavior, bool invert);

/// Matches of single characters.
template <typename IsMatch>
void match_characters(std::string_view text, IsMatch is_match, std::vector<Match>& out) {
  out.clear();
  if (text.empty()) {
    out.push_back({0, 0, false});
    return;
  }
  std::uint32_t done = 0;
  for (std::uint32_t at = 0; at < text.size();) {
    const CodePoint p = code_point_at(text, at);
    if (is_match(p.value)) {
      if (done < at) out.push_back({done, at, false});
      done = at + p.size;
      out.push_back({at, done, true});
    }
    at += p.size;
  }
  if (done < text.size()) out.push_back({done, static_cast<std::uint32_t>(text.size()), false});
}

template <typename Cut>
void PreTokenized::split(Cut cut) {
  next_pieces_.clear();
  for (const Piece& piece : pieces_) {
    if (piece.is_token) {
      next_pieces_.push_back(piece);
      continue;
    }
    cut(text_of(piece), [&](std::uint32_t begin, std::uint32_t end) {
      if (begin < end) next_pieces_.push_back(slice(piece, begin, end));
    });
  }
  pieces_.swap(next_pieces_);
}

template <typename Find>
void PreTokenized::split_by_matches(Find find, SplitBehavior behavior, bool invert) {
  split([&](std::string_view text, auto emit) {
    find(text, matches_);
    apply_behavior(matches_, behavior, invert);
    for (const Match& m : matches_) emit(m.begin, m.end);
  });
}

template <typename Cut>
void PreTokenized::split_tokens(Cut cut) {
  next_pieces_.clear();
  for (const Piece& piece : pieces_) {
    if (piece.is_token) {
      next_pieces_.push_back(piece);
      continue;
    }
    cut(text_of(piece), [&](std::uint32_t begin, std::uint32_t end, const std::uint32_t* token) {
      if (begin >= end) return;
      next_pieces_.push_back(slice(piece, begin, end));
      if (token != nullptr) {
        next_pieces_.back().is_token = true;
        next_pieces_.back().token = *token;
      }
    });
  }
  pieces_.swap(next_pieces_);
}

template <typename Rewrite>
void PreTokenized::rewrite(Rewrite change) {
  begin_rewrite();
  for (Piece& piece : pieces_) {
    if (piece.is_token) {
      append_untouched(piece);
      continue;
    }
    const std::span<const Span> spans =
        rewritten_ ? std::span<const Span>(spans_).subspan(piece.begin, piece.end - piece.begin) : std::span<const Span>();
    work_.assign(text_of(piece), spans, piece.original_begin);
    change(work_);
    append_rewritten(piece, work_.text(), work_.spans());
  }
  end_rewrite();
}

}  // namespace bigmodel::tokenizer
