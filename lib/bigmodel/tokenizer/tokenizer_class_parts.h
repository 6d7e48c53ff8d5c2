// SPDX-License-Identifier: Apache-2.0
// What the files of tokenizer_class share: a class as a whole, and short ways to write a tokenizer.json's sections.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/tokenizer_class.h"

namespace bigmodel::tokenizer {

/// What a class may ask when it makes its post-processor.
class ClassTokens {
 public:
  using Json = nlohmann::ordered_json;
  ClassTokens(std::string_view class_name, const PretrainedSettings& said, const TokenLookup& find, const std::string& object)
      : settings(said), class_name_(class_name), find_(find), object_(object) {}

  const PretrainedSettings& settings;
  /// The text of a named token. Throws FormatError where the settings say null, or nothing.
  const std::string& text(std::string_view name) const;
  /// Throws FormatError where no token has the text.
  std::uint32_t id(const std::string& text) const;
  /// The text of a number; the number itself where it has none.
  std::string text_of(std::uint32_t id) const;
  bool has(std::string_view name) const;
  /// The text itself, or the unknown token's where the vocabulary does not know it.
  std::string known_or_unk(const std::string& text) const;
  /// [text, id] of a named token.
  Json pair(std::string_view name) const;
  /// A TemplateProcessing of "$A", "$B", names of special tokens and "=" before other tokens' texts, each with ":1" where its type
  /// id is 1. `ids` gives numbers to texts that the vocabulary does not have.
  Json of_pieces(std::span<const std::string> single, std::span<const std::string> pair, const std::map<std::string, std::uint32_t>& ids = {}) const;
  Json bos_and_eos(bool adds_bos) const;

 private:
  std::string_view class_name_;
  const TokenLookup& find_;
  const std::string& object_;
};

struct KnownClass {
  ClassPipeline pipeline;
  void (*build)(const PretrainedSettings& settings, const std::string& charsmap, nlohmann::ordered_json& file) = nullptr;
  void (*extras)(PretrainedSettings& settings) = nullptr;                  ///< special tokens without a name
  nlohmann::ordered_json (*post)(const ClassTokens& tokens) = nullptr;
};

/// By the name that the files give, aliases too.
const KnownClass* known_class(std::string_view name);
/// The class that is registered for a type; "" where none, "TokenizersBackend" where the general one is whatever the files say.
std::string_view class_of_type(std::string_view model_type);
/// Whether published files of that type name a wrong class, so that the registered one is taken.
bool registered_class_wins(std::string_view model_type);

/// Names of languages that are special tokens of a class, in its order.
std::span<const std::string_view> mbart_languages();
std::span<const std::string_view> mbart50_languages();
std::span<const std::string_view> nllb_languages();
/// Where a language, by its code or its English name, stands among Whisper's; -1 where it does not.
int whisper_language(std::string_view language);

// Post-processors of classes.
nlohmann::ordered_json post_roberta(const ClassTokens& tokens);
nlohmann::ordered_json post_clip(const ClassTokens& tokens);
nlohmann::ordered_json post_layoutlmv3(const ClassTokens& tokens);
nlohmann::ordered_json post_luke(const ClassTokens& tokens);
nlohmann::ordered_json post_mpnet(const ClassTokens& tokens);
nlohmann::ordered_json post_herbert(const ClassTokens& tokens);
nlohmann::ordered_json post_mbart(const ClassTokens& tokens);
nlohmann::ordered_json post_mbart50(const ClassTokens& tokens);
nlohmann::ordered_json post_nllb(const ClassTokens& tokens);
nlohmann::ordered_json post_seamless(const ClassTokens& tokens);
nlohmann::ordered_json post_splinter(const ClassTokens& tokens);
nlohmann::ordered_json post_whisper(const ClassTokens& tokens);

// Sections of a tokenizer.json.
namespace sections {

using Json = nlohmann::ordered_json;
inline constexpr std::string_view kMark = "\xE2\x96\x81";

/// Null for "no prefix", "no suffix"; without `unk` there is no unknown token.
Json bpe(const char* prefix, const char* suffix, bool fuse_unk, bool byte_fallback);
Json bpe(const char* prefix, const char* suffix, bool fuse_unk, bool byte_fallback, Json unk);
Json word_piece(const PretrainedSettings& settings);
Json unigram(Json unk_id);
Json sequence(const char* key, Json steps);
Json byte_level(bool prefix, bool regex, bool trim = true);
Json replace(std::string_view from, std::string_view to);
Json replace_regex(std::string_view from, std::string_view to);
Json metaspace(const char* scheme, bool split);
Json split(std::string_view kind, std::string_view pattern, const char* behavior, bool invert = false);
Json strip(bool left, bool right);
Json bert_normalizer(bool clean, bool chinese, Json accents, bool lower);
Json llama_decoder(bool strips);
Json precompiled(const std::string& charsmap);
Json token_or_none(const PretrainedSettings& settings, std::string_view name);

}  // namespace sections

}  // namespace bigmodel::tokenizer
