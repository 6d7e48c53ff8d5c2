// SPDX-License-Identifier: Apache-2.0
// Vocabularies without a tokenizer.json are written as one and read by the same reader, so there is one set of rules.
#include "bigmodel/tokenizer/tokenizer_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "bigmodel/core/base64.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/mapped_file.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/tokenizer/pretrained_settings.h"
#include "bigmodel/tokenizer/sentence_piece.h"
#include "bigmodel/tokenizer/tokenizer_class.h"
#include "bigmodel/tokenizer/tokenizer_json.h"
#include "bigmodel/tokenizer/tokenizer_parts.h"
#include "bigmodel/tokenizer/vocabulary_files.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 3> kSentencePieceFiles{"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"};

std::string extra_id(int i) { return fmt::format("<extra_id_{}>", i); }

std::string precompiled_charsmap(const Json& normalizer) {
  const auto of = [](const Json& step) {
    const auto type = step.is_object() ? step.find("type") : step.end();
    if (!step.is_object() || type == step.end() || *type != "Precompiled" || !step.contains("precompiled_charsmap")) return std::string();
    const Json& map = step["precompiled_charsmap"];
    return map.is_string() ? map.get<std::string>() : std::string();
  };
  if (normalizer.is_object() && normalizer.contains("normalizers") && normalizer["normalizers"].is_array()) {
    for (const Json& step : normalizer["normalizers"]) {
      if (std::string map = of(step); !map.empty()) return map;
    }
  }
  return of(normalizer);
}

/// Tokenizer, settings and class put together: what transformers' constructors do.
class Assembly {
 public:
  explicit Assembly(const fs::path& folder) : settings_(read_pretrained_settings(folder)), class_(choose_tokenizer_class(settings_, folder)) {}

  /// Where the files name no class that fits the vocabulary.
  void default_class(std::string_view name) {
    const ClassPipeline* known = class_pipeline(class_);
    if (known == nullptr || known->model != class_pipeline(name)->model) class_ = name;
  }

  /// A class numbers the pieces its own way; the general one takes everything from the model.
  FolderTokenizer build(const SentencePieceModel& model, const std::string& object) {
    using Type = SentencePieceModel::Type;
    // No class of transformers takes these two: they become what sentencepiece makes of them.
    const bool alone = model.type == Type::word || model.type == Type::character;
    if (alone) class_ = {};
    const bool own = settings_.extra.empty();
    for (const SentencePieceModel::Piece& piece : model.pieces) {
      const bool control = piece.kind == SentencePieceModel::Kind::control;
      if (!own || (!control && piece.kind != SentencePieceModel::Kind::user_defined)) continue;
      settings_.extra.push_back({"", AddedToken{.content = piece.text, .normalized = false, .special = control}, false});
    }
    const ClassPipeline* known = class_pipeline(class_);
    if (known != nullptr && known->model == "WordPiece") known = nullptr;
    std::vector<std::string> first, last;
    if (known != nullptr) {
      set_class_tokens(class_, settings_);
      const auto text = [&](std::string_view name) {
        const NamedToken* token = settings_.find(name);
        return token != nullptr && token->token ? token->token->content : std::string("None");
      };
      for (const std::string_view name : known->spm_first) first.push_back(text(name));
      for (const std::string_view name : known->spm_last) last.push_back(text(name));
      for (int i = known->extra_ids; i-- > 0;) last.push_back(extra_id(i));
      for (int i = 0; i < known->extra_ids && own; ++i) extra_ids_.push_back(extra_id(i));
    } else {
      if (model.unk_id >= 0) settings_.set_default("unk_token", model.unk_piece);
      if (model.bos_id >= 0) settings_.set_default("bos_token", model.bos_piece);
      if (model.eos_id >= 0) settings_.set_default("eos_token", model.eos_piece);
    }
    const Type type = known == nullptr ? model.type : known->model == "BPE" ? Type::bpe : Type::unigram;
    const std::string charsmap = model.charsmap.empty() ? "" : encode_base64(model.charsmap);
    const std::size_t drops = known != nullptr ? static_cast<std::size_t>(known->spm_drops) : 0;
    std::string text = R"({"version":"1.0","normalizer":)";
    text += (alone ? blanks_normalizer(charsmap, model.remove_extra_whitespaces, model.add_dummy_prefix) : sentence_piece_normalizer(charsmap)).dump();
    if (alone) text += R"(,"pre_tokenizer":)" + marks_pre_tokenizer(model.add_dummy_prefix).dump();
    text += R"(,"decoder":)" + sentence_piece_decoder(model.byte_fallback, alone && model.add_dummy_prefix).dump();
    text += R"(,"model":)" + model_text(model, type, drops, first, last) + "}";
    return build(text, object, false);
  }

  FolderTokenizer build(std::string_view text, const std::string& object, bool from_tokenizer_json) {
    object_ = object;
    parts_ = parse_tokenizer_json(text, object, [&](Json& sections) { edit(sections); });
    if (from_tokenizer_json) {
      // The post-processor of the file is trusted instead.
      settings_.add_bos_token.reset();
      settings_.add_eos_token.reset();
    }
    add_tokens();
    set_post_processor();
    parts_->added_tokens.encode_special_tokens(settings_.split_special_tokens);
    parts_->clean_up_spaces = settings_.clean_up_spaces && (settings_.clean_up_bpe_too || model_type_ != "BPE");
    return finish();
  }

 private:
  void edit(Json& sections) {
    Json& model = sections["model"];
    model_type_ = model.contains("type") && model["type"].is_string() ? model["type"].get<std::string>() : "";
    pipeline_ = class_pipeline(class_);
    if (pipeline_ == nullptr || pipeline_->model != model_type_) {
      pipeline_ = nullptr;
      return;
    }
    set_class_tokens(class_, settings_);
    build_class_sections(class_, settings_, precompiled_charsmap(sections["normalizer"]), sections);
    if (settings_.has_added_tokens_decoder) sections["added_tokens"] = Json::array();
    for (int i = 0; i < pipeline_->extra_ids && settings_.extra.empty(); ++i) extra_ids_.push_back(extra_id(i));
  }

  std::uint32_t id_of(const std::string& token) const {
    const auto id = parts_->added_tokens.find(*parts_->model, token);
    if (!id) throw FormatError(fmt::format("{}: special token '{}' is not in the vocabulary", object_, token));
    return *id;
  }

  void add(const std::vector<AddedToken>& tokens) { parts_->added_tokens.add(tokens, *parts_->model, parts_->normalizer.get()); }

  void add_tokens() {
    std::vector<AddedToken> tokens;
    const auto is_named = [&](const AddedToken& token) {
      return std::ranges::any_of(settings_.named, [&](const NamedToken& n) { return n.token && n.token->content == token.content; });
    };
    const auto is_there = [&](const std::string& content) {
      return parts_->added_tokens.has(content) || std::ranges::any_of(tokens, [&](const AddedToken& t) { return t.content == content; });
    };
    for (const auto& [id, token] : settings_.added) {
      if (parts_->added_tokens.has(token)) continue;
      tokens.push_back(token);
      tokens.back().special = token.special || is_named(token);
    }
    for (const auto* list : {&settings_.named, &settings_.extra}) {
      for (const NamedToken& named : *list) {
        if (!named.token || is_there(named.token->content)) continue;
        tokens.push_back(*named.token);
        tokens.back().special = named.token->special || is_named(*named.token);
      }
    }
    for (const std::string& extra : extra_ids_) {
      if (!is_there(extra)) tokens.push_back({.content = extra, .normalized = false, .special = true});
    }
    add(tokens);
    if (pipeline_ == nullptr || pipeline_->specials == Readded::no) return;
    tokens.clear();
    for (const auto* list : {&settings_.named, &settings_.extra}) {
      for (const NamedToken& named : *list) {
        if (!named.token) continue;
        tokens.push_back(*named.token);
        if (pipeline_->specials == Readded::bare) tokens.back() = {.content = named.token->content, .normalized = false};
        tokens.back().special = true;
      }
    }
    add(tokens);
  }

  /// A TemplateProcessing of "$A", "$B" and names of special tokens, each with ":1" where its type id is 1.
  Json template_of(const std::vector<std::string>& single, const std::vector<std::string>& pair) const {
    Json tokens = Json::object();
    const auto list = [&](const std::vector<std::string>& pieces) {
      Json out = Json::array();
      for (const std::string& piece : pieces) {
        const bool second = piece.ends_with(":1");
        const std::string name = second ? piece.substr(0, piece.size() - 2) : piece;
        if (name.starts_with('$')) {
          out.push_back({{"Sequence", {{"id", name.substr(1)}, {"type_id", unsigned{second}}}}});
          continue;
        }
        const NamedToken* named = settings_.find(name);
        if (named == nullptr || !named->token) throw FormatError(fmt::format("{}: the class {} needs a {}", object_, class_, name));
        const std::string& token = named->token->content;
        tokens[token] = {{"id", token}, {"ids", Json::array({id_of(token)})}, {"tokens", Json::array({token})}};
        out.push_back({{"SpecialToken", {{"id", token}, {"type_id", unsigned{second}}}}});
      }
      return out;
    };
    Json singles = list(single), pairs = list(pair);
    return {{"type", "TemplateProcessing"}, {"single", std::move(singles)}, {"pair", std::move(pairs)}, {"special_tokens", std::move(tokens)}};
  }

  Json bos_eos_template() const {
    const auto has = [&](const char* name) { return settings_.find(name) != nullptr && settings_.find(name)->token; };
    const bool bos = settings_.add_bos_token.value_or(pipeline_ != nullptr && pipeline_->adds_bos) && has("bos_token");
    const bool eos = settings_.add_eos_token.value_or(false) && has("eos_token");
    std::vector<std::string> single, pair;
    for (const bool second : {false, true}) {
      const char* type = second ? ":1" : "";
      if (bos) pair.push_back(fmt::format("bos_token{}", type));
      pair.push_back(second ? "$B:1" : "$A");
      if (eos) pair.push_back(fmt::format("eos_token{}", type));
      if (!second) single = pair;
    }
    return template_of(single, pair);
  }

  Json roberta() const {
    const auto token = [&](const char* name) {
      const NamedToken* named = settings_.find(name);
      if (named == nullptr || !named->token) throw FormatError(fmt::format("{}: the class {} needs a {}", object_, class_, name));
      return Json::array({named->token->content, id_of(named->token->content)});
    };
    return {{"type", "RobertaProcessing"},
            {"sep", token("sep_token")},
            {"cls", token("cls_token")},
            {"trim_offsets", settings_.trim_offsets.value_or(true)},
            {"add_prefix_space", settings_.add_prefix_space.value_or(false)}};
  }

  void set_post_processor() {
    const PostProcessing kind = pipeline_ == nullptr ? PostProcessing::as_in_file : pipeline_->post_processing;
    const bool explicitly = settings_.add_bos_token || settings_.add_eos_token;
    if (kind == PostProcessing::as_in_file && parts_->post_processor && !explicitly) return;
    const bool pieces = kind == PostProcessing::pieces || (kind == PostProcessing::as_in_file && pipeline_ != nullptr && !pipeline_->single.empty() && !explicitly);
    const Json json = kind == PostProcessing::roberta ? roberta() : pieces ? template_of(pipeline_->single, pipeline_->pair) : bos_eos_template();
    parts_->post_processor = read_post_processor(json, object_ + ", post_processor");
  }

  FolderTokenizer finish() {
    std::vector<std::pair<std::string, std::string>> named;
    for (const NamedToken& token : settings_.named) {
      if (token.token) named.emplace_back(token.name, token.token->content);
    }
    TruncationParams truncation;
    truncation.direction = settings_.truncation_side.value_or(parts_->truncation ? parts_->truncation->direction : Direction::right);
    const bool left = pipeline_ != nullptr && pipeline_->pads_left;
    const std::optional<PaddingParams> in_file = std::exchange(parts_->padding, std::nullopt);
    parts_->truncation.reset();
    std::optional<PaddingParams> padding;
    const NamedToken* pad = settings_.find("pad_token");
    if (pad != nullptr ? pad->token.has_value() : in_file.has_value()) {
      padding.emplace();
      padding->pad_token = pad != nullptr ? pad->token->content : in_file->pad_token;
      padding->pad_id = id_of(padding->pad_token);
      padding->direction = settings_.padding_side.value_or(in_file ? in_file->direction : left ? Direction::left : Direction::right);
    }
    return {Tokenizer(parts_), std::move(named), truncation, std::move(padding)};
  }

  PretrainedSettings settings_;
  std::string_view class_;
  std::string object_, model_type_;
  const ClassPipeline* pipeline_ = nullptr;
  std::vector<std::string> extra_ids_;
  std::shared_ptr<TokenizerParts> parts_;
};

FolderTokenizer build_from_model(const fs::path& folder, const char* file, const std::string& model, std::string_view class_name) {
  Assembly assembly(folder);
  assembly.default_class(class_name);
  return assembly.build(R"({"version":"1.0","model":)" + model + "}", (folder / file).string(), false);
}

}  // namespace

std::vector<std::string> tokenizer_files() {
  std::vector<std::string> out{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
                               "merges.txt",     "vocab.txt",             "chat_template.jinja",     "chat_template.json", "additional_chat_templates/*.jinja"};
  out.insert(out.end(), kSentencePieceFiles.begin(), kSentencePieceFiles.end());
  return out;
}

FolderTokenizer read_folder_tokenizer(const fs::path& folder) {
  if (const fs::path path = folder / "tokenizer.json"; fs::exists(path)) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Assembly(folder).build(text, path.string(), true);
  }
  if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) {
    return build_from_model(folder, "vocab.json", merges_model_text(folder), "GPT2Tokenizer");
  }
  if (fs::exists(folder / "vocab.txt")) return build_from_model(folder, "vocab.txt", word_list_model_text(folder), "BertTokenizer");
  for (const char* name : kSentencePieceFiles) {
    if (!fs::exists(folder / name)) continue;
    const std::string object = (folder / name).string();
    return Assembly(folder).build(parse_sentence_piece(read_file(folder / name, kVocabularyLimitBytes), object), object);
  }
  throw NotFoundError(fmt::format("{}: no tokenizer, expected tokenizer.json, vocab.json with merges.txt, vocab.txt or tokenizer.model", folder.string()));
}

Tokenizer read_tokenizer(const fs::path& path) {
  return fs::is_directory(path) ? read_folder_tokenizer(path).tokenizer : read_tokenizer_json(path);
}

}  // namespace bigmodel::tokenizer
