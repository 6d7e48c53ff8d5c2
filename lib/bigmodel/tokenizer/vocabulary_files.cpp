// SPDX-License-Identifier: Apache-2.0
// As text, since JSON values of hundreds of thousands of members are slow to build.
#include "bigmodel/tokenizer/vocabulary_files.h"

#include <fmt/format.h>

#include <algorithm>

#include <iterator>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;

std::string json_text(std::string_view text) { return nlohmann::json(text).dump(); }

template <typename Line>
void for_each_line(const fs::path& path, Line call) {
  const std::string text = read_file(path, kVocabularyLimitBytes);
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string::npos) {
    throw FormatError(fmt::format("{}: byte {} is not UTF-8", path.string(), bad));
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    call(line);
    begin = end + 1;
  }
}

/// Joins values with commas.
class List {
 public:
  explicit List(char open) : out_(1, open) {}
  std::string& add() {
    if (out_.size() > 1) out_ += ',';
    return out_;
  }
  std::string close(char c) { return std::move(out_ += c); }

 private:
  std::string out_;
};

}  // namespace

std::string merges_model_text(const fs::path& folder) {
  List merges('[');
  bool first = true;
  for_each_line(folder / "merges.txt", [&](std::string_view line) {
    const bool version = first && line.starts_with("#version");
    first = false;
    if (!version && !line.empty()) merges.add() += json_text(line);
  });
  return fmt::format(R"({{"type":"BPE","vocab":{},"merges":{}}})", read_file(folder / "vocab.json", kVocabularyLimitBytes), merges.close(']'));
}

std::string word_list_model_text(const fs::path& folder) {
  List vocabulary('{');
  std::size_t next = 0;
  for_each_line(folder / "vocab.txt", [&](std::string_view line) { fmt::format_to(std::back_inserter(vocabulary.add()), "{}:{}", json_text(line), next++); });
  return fmt::format(R"({{"type":"WordPiece","vocab":{}}})", vocabulary.close('}'));
}

std::string model_text(const SentencePieceModel& model, SentencePieceModel::Type type, std::size_t drops, std::span<const std::string> first, std::span<const std::string> last) {
  using Type = SentencePieceModel::Type;
  const bool scored = type == Type::unigram;
  List vocabulary(scored ? '[' : '{');
  std::size_t id = 0;
  const auto add = [&](std::string_view text, double score) {
    if (scored) {
      fmt::format_to(std::back_inserter(vocabulary.add()), "[{},{}]", json_text(text), nlohmann::json(score).dump());
    } else {
      fmt::format_to(std::back_inserter(vocabulary.add()), "{}:{}", json_text(text), id++);
    }
  };
  for (const std::string& text : first) add(text, 0);
  for (std::size_t i = drops; i < model.pieces.size(); ++i) add(model.pieces[i].text, double{model.pieces[i].score});
  for (const std::string& text : last) add(text, 0);
  if (scored) return fmt::format(R"({{"type":"Unigram","unk_id":{},"byte_fallback":{},"vocab":{}}})", model.unk_id, model.byte_fallback, vocabulary.close(']'));
  if (type == Type::word) return fmt::format(R"({{"type":"WordLevel","unk_token":{},"sentence_piece_words":true,"vocab":{}}})", json_text(model.unk_piece), vocabulary.close('}'));
  List merges('[');
  for (const PieceMerge& merge : type == Type::bpe ? merges_of(model) : std::vector<PieceMerge>()) {
    fmt::format_to(std::back_inserter(merges.add()), "[{},{}]", json_text(model.pieces[merge.left].text), json_text(model.pieces[merge.right].text));
  }
  return fmt::format(R"({{"type":"BPE","unk_token":{},"fuse_unk":true,"byte_fallback":{},"vocab":{},"merges":{}}})", json_text(model.unk_piece), model.byte_fallback,
                     vocabulary.close('}'), merges.close(']'));
}

void refuse_stand_in(std::string_view bytes, const std::string& object) {
  const std::size_t first = std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size());
  const std::string_view begin = bytes.substr(first, 24);
  const char* const hint = "fetch the file itself: git lfs pull, or bigmodel download";
  if (begin.starts_with("version https://git-lfs")) throw FormatError(fmt::format("{}: a Git LFS pointer, not the file itself", object), hint);
  if (begin.starts_with("<!DOCTYPE") || begin.starts_with("<!doctype") || begin.starts_with("<html")) throw FormatError(fmt::format("{}: a web page, not the file itself", object), hint);
}

}  // namespace bigmodel::tokenizer
