// SPDX-License-Identifier: Apache-2.0
// Any text through one small tokenizer of each kind of model: texts that are not UTF-8 are refused, of others all lists are parallel,
// and streams show what decode() shows. The hand-written splits of known patterns must cut where the regex engine cuts.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/tokenizer/regex.h"
#include "bigmodel/tokenizer/split_pattern.h"
#include "bigmodel/tokenizer/tokenizer_json.h"
#include "fuzz/use_tokenizer.h"

namespace {

using namespace bigmodel;

std::vector<tokenizer::Encoder> encoders() {
  std::vector<tokenizer::Encoder> out;
  for (const char* name : {"byte_fallback", "byte_level", "roberta_pairs", "split_regex", "unigram", "word_level", "word_piece"}) {
    const std::filesystem::path folder = BIGMODEL_SOURCE_DIR "/tests/golden/tokenizer/own";
    out.emplace_back(tokenizer::read_tokenizer_json(folder / (std::string(name) + ".json")));
  }
  return out;
}

void check_splits(std::string_view text) {
  static const std::vector<std::string> kPatterns{
      std::string(tokenizer::kGpt2Regex),
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
  static const std::vector<tokenizer::Regex> kRegexes(kPatterns.begin(), kPatterns.end());
  for (const tokenizer::Regex& regex : kRegexes) {
    const auto known = tokenizer::known_split_pattern(regex.pattern());
    if (!known) std::abort();
    std::vector<tokenizer::Match> matches;
    regex.split(text, matches);
    std::size_t at = 0;
    for (const tokenizer::Match& match : matches) {
      if (match.begin == match.end) continue;
      if (match.begin != at || tokenizer::split_match_end(*known, text, at) != match.end) std::abort();
      at = match.end;
    }
    if (at != text.size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::vector<tokenizer::Encoder> all = encoders();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool valid = tokenizer::find_invalid_utf8(text) == std::string_view::npos;
  for (tokenizer::Encoder& encoder : all) {
    try {
      fuzz::check(encoder, text);
      if (!valid) std::abort();
    } catch (const Error&) {
    }
  }
  if (valid) check_splits(text);
  return 0;
}
