// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/models/word_piece.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

struct WordPieceScratch final : Model::Scratch {
  std::string piece;
};

[[noreturn]] void no_unk_token(std::string_view model, std::string_view token) {
  throw UnsupportedError(fmt::format("{}: a word is not in the vocabulary, and neither is the unknown token '{}'", model, token));
}

}  // namespace

WordPiece::WordPiece(Vocabulary vocabulary, Options options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), unk_id_(vocabulary_.find(options_.unk_token)) {}

std::unique_ptr<Model::Scratch> WordPiece::make_scratch() const { return std::make_unique<WordPieceScratch>(); }

void WordPiece::add_unknown(std::string_view word, std::vector<ModelToken>& out) const {
  if (!unk_id_) no_unk_token("WordPiece", options_.unk_token);
  out.push_back({*unk_id_, 0, static_cast<std::uint32_t>(word.size())});
}

void WordPiece::tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const {
  if (count_code_points(word) > options_.max_input_chars_per_word) {
    add_unknown(word, out);
    return;
  }
  std::string& piece = static_cast<WordPieceScratch&>(scratch).piece;
  const std::size_t first = out.size();
  std::size_t start = 0;
  while (start < word.size()) {
    const std::size_t prefix = start > 0 ? options_.continuing_subword_prefix.size() : 0;
    // Nothing longer than the longest token can be in the vocabulary.
    std::size_t end = word.size();
    if (prefix + (end - start) > vocabulary_.longest_text()) {
      end = start + (vocabulary_.longest_text() > prefix ? vocabulary_.longest_text() - prefix : 0);
      while (end > start && is_continuation(word[end])) --end;
    }
    piece.assign(options_.continuing_subword_prefix, 0, prefix);
    piece.append(word, start, end - start);
    std::optional<std::uint32_t> found;
    while (end > start) {
      found = vocabulary_.find(piece);
      if (found) break;
      const std::size_t size = code_point_before(word, end).size;
      end -= size;
      piece.resize(piece.size() - size);
    }
    if (!found) {
      out.resize(first);
      add_unknown(word, out);
      return;
    }
    out.push_back({*found, static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(end)});
    start = end;
  }
}

WordLevel::WordLevel(Vocabulary vocabulary, std::string unk_token, bool marked_words)
    : vocabulary_(std::move(vocabulary)), unk_token_(std::move(unk_token)), unk_id_(vocabulary_.find(unk_token_)), marked_words_(marked_words) {}

void WordLevel::tokenize(std::string_view word, Scratch&, std::vector<ModelToken>& out) const {
  constexpr std::string_view kMark = "\xE2\x96\x81";
  bool after_unknown = false;
  for (std::size_t begin = 0, end = 0; begin < word.size(); begin = end) {
    end = marked_words_ ? std::min(word.find(kMark, begin + 1), word.size()) : word.size();
    std::optional<std::uint32_t> id = vocabulary_.find(word.substr(begin, end - begin));
    if (!id) id = unk_id_;
    if (!id) no_unk_token("WordLevel", unk_token_);
    if (after_unknown && id == unk_id_) {
      out.back().end = static_cast<std::uint32_t>(end);
    } else {
      out.push_back({*id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
    }
    after_unknown = id == unk_id_;
  }
}

}  // namespace bigmodel::tokenizer
