// SPDX-License-Identifier: Apache-2.0
// What classes put around the tokens of a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/tokenizer_class_parts.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;
using Pieces = std::vector<std::string>;

Json roberta(const ClassTokens& t, std::string_view sep, std::string_view cls, bool trim, bool prefix) {
  return {{"type", "RobertaProcessing"}, {"sep", t.pair(sep)}, {"cls", t.pair(cls)}, {"trim_offsets", trim}, {"add_prefix_space", prefix}};
}

/// A piece that is a token's text, not its name.
std::string as_text(std::string_view text) { return fmt::format("={}", text); }

/// The piece of a language's token.
std::string language(const ClassTokens& t, std::string_view key, std::string_view missing) { return as_text(t.known_or_unk(t.settings.text(key, missing))); }

}  // namespace

bool ClassTokens::has(std::string_view name) const {
  const NamedToken* named = settings.find(name);
  return named != nullptr && named->token;
}

const std::string& ClassTokens::text(std::string_view name) const {
  if (!has(name)) throw FormatError(fmt::format("{}: the class {} needs a {}", object_, class_name_, name));
  return settings.find(name)->token->content;
}

std::uint32_t ClassTokens::id(const std::string& text) const {
  const auto out = find_.id(text);
  if (!out) throw FormatError(fmt::format("{}: special token '{}' is not in the vocabulary", object_, text));
  return *out;
}

Json ClassTokens::pair(std::string_view name) const { return Json::array({text(name), id(text(name))}); }

std::string ClassTokens::known_or_unk(const std::string& text) const { return find_.id(text) ? text : this->text("unk_token"); }

std::string ClassTokens::text_of(std::uint32_t id) const { return find_.text(id).value_or(fmt::format("{}", id)); }

Json ClassTokens::of_pieces(std::span<const std::string> single, std::span<const std::string> pair, const std::map<std::string, std::uint32_t>& ids) const {
  Json tokens = Json::object();
  const auto list = [&](std::span<const std::string> pieces) {
    Json out = Json::array();
    for (const std::string& piece : pieces) {
      const bool literal = piece.starts_with('=');
      const std::size_t colon = literal ? std::string::npos : piece.rfind(':');
      const std::uint32_t type = colon == std::string::npos ? 0 : static_cast<std::uint32_t>(piece[colon + 1] - '0');
      const std::string name = piece.substr(0, colon);
      if (name.starts_with('$')) {
        out.push_back({{"Sequence", {{"id", name.substr(1)}, {"type_id", type}}}});
        continue;
      }
      const std::string token = literal ? piece.substr(1) : text(name);
      const auto given = ids.find(token);
      tokens[token] = {{"id", token}, {"ids", Json::array({given != ids.end() ? given->second : id(token)})}, {"tokens", Json::array({token})}};
      out.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
    }
    return out;
  };
  Json singles = list(single), pairs = list(pair);
  return {{"type", "TemplateProcessing"}, {"single", std::move(singles)}, {"pair", std::move(pairs)}, {"special_tokens", std::move(tokens)}};
}

Json ClassTokens::bos_and_eos(bool adds_bos) const {
  const bool bos = settings.add_bos_token.value_or(adds_bos) && has("bos_token");
  const bool eos = settings.add_eos_token.value_or(false) && has("eos_token");
  Pieces single, pair;
  for (const bool second : {false, true}) {
    const char* type = second ? ":1" : "";
    if (bos) pair.push_back(fmt::format("bos_token{}", type));
    pair.push_back(second ? "$B:1" : "$A");
    if (eos) pair.push_back(fmt::format("eos_token{}", type));
    if (!second) single = pair;
  }
  return of_pieces(single, pair);
}

Json post_roberta(const ClassTokens& t) { return roberta(t, "sep_token", "cls_token", t.settings.flag("trim_offsets", true), t.settings.flag("add_prefix_space", false)); }
Json post_clip(const ClassTokens& t) { return roberta(t, "eos_token", "bos_token", false, false); }
Json post_layoutlmv3(const ClassTokens& t) { return roberta(t, "sep_token", "cls_token", true, t.settings.flag("add_prefix_space", true)); }
Json post_luke(const ClassTokens& t) { return roberta(t, "sep_token", "cls_token", true, true); }
Json post_mpnet(const ClassTokens& t) { return roberta(t, "sep_token", "cls_token", true, false); }

// The ids are the class's own, whatever the vocabulary says.
Json post_herbert(const ClassTokens& t) {
  return {{"type", "BertProcessing"}, {"sep", Json::array({t.text("sep_token"), 2U})}, {"cls", Json::array({t.text("cls_token"), 0U})}};
}

Json post_mbart(const ClassTokens& t) {
  const std::string source = language(t, "src_lang", "en_XX");
  return t.of_pieces(Pieces{"$A", "eos_token", source}, Pieces{"$A", "$B", "eos_token", source});
}

Json post_mbart50(const ClassTokens& t) {
  const std::string source = language(t, "src_lang", "en_XX");
  return t.of_pieces(Pieces{source, "$A", "eos_token"}, Pieces{source, "$A", "$B", "eos_token"});
}

// An unknown language keeps its name, and has the unknown token's id.
Json post_nllb(const ClassTokens& t) {
  const std::string source = t.settings.text("src_lang", "eng_Latn");
  const std::map<std::string, std::uint32_t> ids{{source, t.id(t.known_or_unk(source))}};
  if (t.settings.flag("legacy_behaviour", false)) return t.of_pieces(Pieces{"$A", "eos_token", as_text(source)}, Pieces{"$A", "$B", "eos_token", as_text(source)}, ids);
  return t.of_pieces(Pieces{as_text(source), "$A", "eos_token"}, Pieces{as_text(source), "$A", "$B", "eos_token"}, ids);
}

// As it is when the class is called: its constructor leaves the target's language there, which the first call replaces.
Json post_seamless(const ClassTokens& t) {
  std::string source = t.settings.text("src_lang", "eng");
  if (source.find("__") == std::string::npos) source = fmt::format("__{}__", source);
  source = as_text(t.known_or_unk(source));
  return t.of_pieces(Pieces{source, "$A", "eos_token"}, Pieces{source, "$A", "$B", "eos_token"});
}

Json post_splinter(const ClassTokens& t) {
  const std::map<std::string, std::uint32_t> ids{{".", t.id(t.known_or_unk("."))}};
  const Pieces single{"cls_token", "$A", "sep_token"};
  if (t.settings.padding_side.value_or(Direction::right) == Direction::right) {
    return t.of_pieces(single, Pieces{"cls_token", "$A", "question_token", "=.", "sep_token", "$B:1", "sep_token:1"}, ids);
  }
  return t.of_pieces(single, Pieces{"cls_token", "$A", "sep_token", "$B:1", "question_token", "=.", "sep_token:1"}, ids);
}

Json post_whisper(const ClassTokens& t) {
  const std::string start = t.known_or_unk("<|startoftranscript|>");
  Pieces single{as_text(start)};
  std::map<std::string, std::uint32_t> ids;
  if (t.settings.is_text("language")) {
    const std::string language = t.settings.text("language", "");
    const int place = whisper_language(language);
    if (place < 0) throw FormatError(fmt::format("tokenizer_config.json, language: Whisper has none that is called '{}', expected such as en or english", language.substr(0, 40)));
    // Languages follow the start in the vocabulary, so the class counts from there.
    const std::uint32_t id = t.id(start) + 1 + static_cast<std::uint32_t>(place);
    ids[t.text_of(id)] = id;
    single.push_back(as_text(t.text_of(id)));
  }
  if (t.settings.is_text("task")) {
    const std::string task = t.settings.text("task", "");
    if (task != "translate" && task != "transcribe") throw FormatError(fmt::format("tokenizer_config.json, task: expected translate or transcribe, got '{}'", task.substr(0, 40)));
    single.push_back(as_text(t.known_or_unk(fmt::format("<|{}|>", task))));
  }
  if (!t.settings.flag("predict_timestamps", false)) single.push_back(as_text(t.known_or_unk("<|notimestamps|>")));
  Pieces pair = single;
  for (const char* piece : {"$A", "eos_token"}) single.push_back(piece);
  for (const char* piece : {"$A", "$B:1", "eos_token:1"}) pair.push_back(piece);
  return t.of_pieces(single, pair, ids);
}

Json class_post_processor(std::string_view name, const PretrainedSettings& settings, const TokenLookup& find, const std::string& object) {
  const ClassTokens tokens(name, settings, find, object);
  const KnownClass* known = known_class(name);
  if (known == nullptr) return tokens.bos_and_eos(false);
  if (known->pipeline.post_processing == PostProcessing::own) return known->post(tokens);
  const bool explicitly = settings.add_bos_token || settings.add_eos_token;
  const bool pieces = known->pipeline.post_processing == PostProcessing::pieces || known->pipeline.post_processing == PostProcessing::over_the_files ||
                      (known->pipeline.post_processing == PostProcessing::as_in_file && !known->pipeline.single.empty() && !explicitly);
  return pieces ? tokens.of_pieces(known->pipeline.single, known->pipeline.pair) : tokens.bos_and_eos(known->pipeline.adds_bos);
}

}  // namespace bigmodel::tokenizer
