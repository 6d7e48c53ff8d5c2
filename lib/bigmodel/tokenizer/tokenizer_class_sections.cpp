// SPDX-License-Identifier: Apache-2.0
// Short ways to write the sections of a tokenizer.json.
#include <nlohmann/json.hpp>

#include "bigmodel/tokenizer/tokenizer_class_parts.h"

namespace bigmodel::tokenizer {
namespace sections {

namespace {
Json text_or_null(const char* text) { return text == nullptr ? Json(nullptr) : Json(text); }
}  // namespace

Json bpe(const char* prefix, const char* suffix, bool fuse_unk, bool byte_fallback, Json unk) {
  return {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", std::move(unk)}, {"continuing_subword_prefix", text_or_null(prefix)},
          {"end_of_word_suffix", text_or_null(suffix)}, {"fuse_unk", fuse_unk}, {"byte_fallback", byte_fallback}, {"ignore_merges", false}};
}

Json bpe(const char* prefix, const char* suffix, bool fuse_unk, bool byte_fallback) { return bpe(prefix, suffix, fuse_unk, byte_fallback, nullptr); }

Json word_piece(const PretrainedSettings& settings) {
  return {{"type", "WordPiece"}, {"unk_token", token_or_none(settings, "unk_token")}, {"continuing_subword_prefix", "##"}, {"max_input_chars_per_word", 100U}};
}

Json unigram(Json unk_id) { return {{"type", "Unigram"}, {"unk_id", std::move(unk_id)}, {"byte_fallback", false}}; }

Json sequence(const char* key, Json steps) { return {{"type", "Sequence"}, {key, std::move(steps)}}; }

Json byte_level(bool prefix, bool regex, bool trim) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", trim}, {"use_regex", regex}};
}

Json replace(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json replace_regex(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"Regex", from}}}, {"content", to}};
}

Json metaspace(const char* scheme, bool split) {
  return {{"type", "Metaspace"}, {"replacement", kMark}, {"prepend_scheme", scheme}, {"split", split}};
}

Json split(std::string_view kind, std::string_view pattern, const char* behavior, bool invert) {
  return {{"type", "Split"}, {"pattern", {{kind, pattern}}}, {"behavior", behavior}, {"invert", invert}};
}

Json strip(bool left, bool right) { return {{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}}; }

Json bert_normalizer(bool clean, bool chinese, Json accents, bool lower) {
  return {{"type", "BertNormalizer"}, {"clean_text", clean}, {"handle_chinese_chars", chinese}, {"strip_accents", std::move(accents)}, {"lowercase", lower}};
}

Json llama_decoder(bool strips) {
  Json steps = Json::array({replace(kMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (strips) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1U}, {"stop", 0U}});
  return sequence("decoders", std::move(steps));
}

Json precompiled(const std::string& charsmap) {
  return charsmap.empty() ? Json(nullptr) : Json{{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}};
}

// Python's str(None) where the files say null.
Json token_or_none(const PretrainedSettings& settings, std::string_view name) {
  const NamedToken* token = settings.find(name);
  return token != nullptr && token->token ? Json(token->token->content) : Json("None");
}

}  // namespace sections

using namespace sections;

Json sentence_piece_normalizer(const std::string& charsmap) {
  Json steps = Json::array({replace(" ", kMark)});
  if (!charsmap.empty()) steps.insert(steps.begin(), precompiled(charsmap));
  return sequence("normalizers", std::move(steps));
}

Json sentence_piece_decoder(bool byte_fallback, bool strips_prefix) {
  return byte_fallback || strips_prefix ? llama_decoder(strips_prefix) : sequence("decoders", Json::array({replace(kMark, " ")}));
}

Json blanks_normalizer(const std::string& charsmap, bool removes_extra, bool adds_prefix) {
  Json steps = Json::array();
  // Before the map, as a text that the map leaves nothing of has a mark too; and the pre-tokenizer adds none to a text that begins with one.
  if (!removes_extra && adds_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  if (!charsmap.empty()) {
    steps.push_back(precompiled(charsmap));
    steps.back()["bigmodel:longest"] = true;
    steps.back()["bigmodel:drops_blanks"] = removes_extra;
  } else if (removes_extra) {
    steps.push_back(replace_regex(R"(\A +)", ""));
    steps.push_back(replace_regex("  +", " "));
  }
  if (removes_extra) steps.push_back(replace_regex(R"( +\z)", ""));
  return sequence("normalizers", std::move(steps));
}

Json marks_pre_tokenizer(bool adds_prefix) { return metaspace(adds_prefix ? "first" : "never", false); }

}  // namespace bigmodel::tokenizer
