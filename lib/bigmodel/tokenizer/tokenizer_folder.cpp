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
      if (!own || settings_.lists_extra || (!control && piece.kind != SentencePieceModel::Kind::user_defined)) continue;
      settings_.extra.push_back({"", AddedToken{.content = piece.text, .normalized = false, .special = control}, false});
    }
    const ClassPipeline* known = class_pipeline(class_);
    if (known != nullptr && known->model == "WordPiece") known = nullptr;
    std::vector<std::string> first, last;
    if (known != nullptr) {
      set_class_tokens(class_, settings_);
      tokens_set_ = true;
      const auto text = [&](std::string_view name) {
        if (!name.ends_with("_token")) return std::string(name);
        const NamedToken* token = settings_.find(name);
        return token != nullptr && token->token ? token->token->content : std::string("None");
      };
      for (const std::string_view name : known->spm_first) first.push_back(text(name));
      for (const std::string_view name : known->spm_last) last.push_back(text(name));
      for (int i = known->has_extra_ids ? extra_id_count(settings_) : 0; i-- > 0;) last.push_back(fmt::format("<extra_id_{}>", i));
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
    has_pipeline_ = true;
    return build(text, object, false);
  }

  FolderTokenizer build(std::string_view text, const std::string& object, bool from_tokenizer_json) {
    object_ = object;
    has_pipeline_ = has_pipeline_ || from_tokenizer_json;
    parts_ = parse_tokenizer_json(text, object, [&](Json& sections) { edit(sections); });
    if (from_tokenizer_json) {
      // The post-processor of the file is trusted instead.
      settings_.add_bos_token.reset();
      settings_.add_eos_token.reset();
    }
    add_tokens();
    set_post_processor();
    parts_->added_tokens.encode_special_tokens(settings_.split_special_tokens);
    set_decoding();
    return finish();
  }

 private:
  void edit(Json& sections) {
    Json& model = sections["model"];
    model_type_ = model.contains("type") && model["type"].is_string() ? model["type"].get<std::string>() : "";
    pipeline_ = class_pipeline(class_);
    const bool keeps = pipeline_ != nullptr && pipeline_->keeps_file && has_pipeline_;
    if (pipeline_ == nullptr || (!keeps && !pipeline_->model.empty() && pipeline_->model != model_type_)) {
      pipeline_ = nullptr;
      class_ = {};
      return;
    }
    if (pipeline_->model.empty()) return;  // the file's own pipeline
    if (!tokens_set_) set_class_tokens(class_, settings_);
    if (keeps) return;
    build_class_sections(class_, settings_, precompiled_charsmap(sections["normalizer"]), sections);
    if (settings_.has_added_tokens_decoder) sections["added_tokens"] = Json::array();
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

  void set_post_processor() {
    const PostProcessing kind = pipeline_ == nullptr ? PostProcessing::as_in_file : pipeline_->post_processing;
    const bool explicitly = settings_.add_bos_token || settings_.add_eos_token;
    if (kind == PostProcessing::as_in_file && parts_->post_processor && !explicitly) return;
    const TokenLookup lookup{[this](std::string_view token) { return parts_->added_tokens.find(*parts_->model, token); },
                             [this](std::uint32_t id) -> std::optional<std::string> {
                               if (const AddedToken* added = parts_->added_tokens.by_id(id)) return added->content;
                               const auto text = parts_->model->text_of(id);
                               return text ? std::optional<std::string>(*text) : std::nullopt;
                             }};
    const bool general = pipeline_ == nullptr || (kind == PostProcessing::over_the_files && (!parts_->post_processor || explicitly));
    const Json json = class_post_processor(general ? std::string_view() : class_, settings_, lookup, object_);
    parts_->post_processor = read_post_processor(json, object_ + ", post_processor");
  }

  void set_decoding() {
    const bool luke = class_ == "LukeTokenizer" || class_ == "MLukeTokenizer";
    DecodingExtras& extras = parts_->decoding;
    extras.clean_up_spaces = settings_.clean_up_spaces && (settings_.clean_up_bpe_too.value_or(luke) || model_type_ != "BPE");
    const Decoding kind = pipeline_ == nullptr ? Decoding::plain : pipeline_->decoding;
    if (kind == Decoding::word_ends) extras.word_end = "</w>";
    extras.drops_timestamps = kind == Decoding::no_timestamps;
    extras.joins_repeats = kind == Decoding::ctc;
    const NamedToken* pad = settings_.find("pad_token");
    if (kind == Decoding::ctc && pad != nullptr && pad->token) extras.blank = id_of(pad->token->content);
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
  bool tokens_set_ = false;
  bool has_pipeline_ = false;  ///< the files hold more than a vocabulary
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
