// SPDX-License-Identifier: Apache-2.0
// Vocabularies without a tokenizer.json are written as one and read by the same reader, so there is one set of rules.
#include "bigmodel/tokenizer/tokenizer_folder.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/tokenizer/tokenizer_json.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kVocabularyLimitBytes = std::uint64_t{256} << 20;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    out.push_back(std::move(line));
    begin = end + 1;
  }
  return out;
}

Json settings_of(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  return fs::exists(path) ? read_json_file(path) : Json::object();
}

/// A special token of tokenizer_config.json: a text, or an object with "content"; `missing` where there is none.
std::string special(const Json& settings, const char* key, const std::string& missing) {
  if (!settings.is_object() || !settings.contains(key)) return missing;
  const Json& value = settings[key];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  return missing;
}

Json added(const std::string& content, std::uint64_t id) {
  return {{"id", id}, {"content", content}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json empty_file() {
  return {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", Json::array()}, {"normalizer", nullptr},
          {"pre_tokenizer", nullptr}, {"post_processor", nullptr}, {"decoder", nullptr}, {"model", nullptr}};
}

/// GPT-2's byte-level BPE.
Json from_merges(const fs::path& folder) {
  const Json settings = settings_of(folder);
  Json vocabulary = read_json_file(folder / "vocab.json");
  if (!vocabulary.is_object()) throw FormatError(fmt::format("{}: expected an object of tokens and ids, got {}", (folder / "vocab.json").string(), vocabulary.type_name()));
  Json merges = Json::array();
  bool first = true;
  for (const std::string& line : lines_of(read_file(folder / "merges.txt", kVocabularyLimitBytes))) {
    const bool version = first && line.starts_with("#version");
    first = false;
    if (!version && !line.empty()) merges.push_back(line);
  }
  Json out = empty_file();
  const bool prefix = settings.is_object() && settings.value("add_prefix_space", Json(false)) == Json(true);
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", true}};
  for (const char* key : {"unk_token", "bos_token", "eos_token"}) {
    const std::string token = special(settings, key, "<|endoftext|>");
    if (const auto id = vocabulary.find(token); id != vocabulary.end() && id->is_number_unsigned()) out["added_tokens"].push_back(added(token, id->get<std::uint64_t>()));
  }
  out["pre_tokenizer"] = byte_level;
  out["post_processor"] = byte_level;
  out["decoder"] = byte_level;
  out["model"] = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", ""}, {"end_of_word_suffix", ""},
                  {"fuse_unk", false}, {"byte_fallback", false}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}};
  return out;
}

/// BERT's WordPiece.
Json from_word_list(const fs::path& folder) {
  const Json settings = settings_of(folder);
  Json vocabulary = Json::object();
  std::uint64_t next = 0;
  for (std::string& token : lines_of(read_file(folder / "vocab.txt", kVocabularyLimitBytes))) vocabulary[std::move(token)] = next++;
  const auto setting = [&](const char* key, Json missing) { return settings.is_object() && settings.contains(key) ? settings[key] : std::move(missing); };
  Json out = empty_file();
  const std::string unk = special(settings, "unk_token", "[UNK]"), cls = special(settings, "cls_token", "[CLS]"), sep = special(settings, "sep_token", "[SEP]");
  for (const std::string& token : {special(settings, "pad_token", "[PAD]"), unk, cls, sep, special(settings, "mask_token", "[MASK]")}) {
    if (vocabulary.contains(token)) out["added_tokens"].push_back(added(token, vocabulary[token].get<std::uint64_t>()));
  }
  out["normalizer"] = {{"type", "BertNormalizer"},
                       {"clean_text", true},
                       {"handle_chinese_chars", setting("tokenize_chinese_chars", true)},
                       {"strip_accents", setting("strip_accents", nullptr)},
                       {"lowercase", setting("do_lower_case", true)}};
  out["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  if (vocabulary.contains(cls) && vocabulary.contains(sep)) {
    const Json first = {{"SpecialToken", {{"id", cls}, {"type_id", 0}}}}, a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const Json end_a = {{"SpecialToken", {{"id", sep}, {"type_id", 0}}}}, b = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    const Json end_b = {{"SpecialToken", {{"id", sep}, {"type_id", 1}}}};
    const auto entry = [&](const std::string& token) {
      return Json{{"id", token}, {"ids", Json::array({vocabulary[token]})}, {"tokens", Json::array({token})}};
    };
    out["post_processor"] = {{"type", "TemplateProcessing"},
                             {"single", Json::array({first, a, end_a})},
                             {"pair", Json::array({first, a, end_a, b, end_b})},
                             {"special_tokens", {{cls, entry(cls)}, {sep, entry(sep)}}}};
  }
  out["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  out["model"] = {{"type", "WordPiece"}, {"unk_token", unk}, {"continuing_subword_prefix", "##"}, {"max_input_chars_per_word", 100}, {"vocab", std::move(vocabulary)}};
  return out;
}

Tokenizer built(const Json& json, const fs::path& path) { return Tokenizer(parse_tokenizer_json(json.dump(), path.string())); }

}  // namespace

std::vector<std::string> tokenizer_files() {
  return {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",         "merges.txt",
          "vocab.txt",      "chat_template.jinja",   "chat_template.json",      "additional_chat_templates/*.jinja"};
}

Tokenizer read_tokenizer(const fs::path& path) {
  if (!fs::is_directory(path)) return read_tokenizer_json(path);
  if (fs::exists(path / "tokenizer.json")) return read_tokenizer_json(path / "tokenizer.json");
  if (fs::exists(path / "vocab.json") && fs::exists(path / "merges.txt")) return built(from_merges(path), path / "vocab.json");
  if (fs::exists(path / "vocab.txt")) return built(from_word_list(path), path / "vocab.txt");
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    if (fs::exists(path / name)) {
      throw UnsupportedError(fmt::format("{}: SentencePiece models are not read, expected a tokenizer.json", (path / name).string()), "convert it with transformers");
    }
  }
  throw NotFoundError(fmt::format("{}: no tokenizer, expected tokenizer.json, vocab.json with merges.txt, or vocab.txt", path.string()));
}

}  // namespace bigmodel::tokenizer
