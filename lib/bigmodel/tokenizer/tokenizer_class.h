// SPDX-License-Identifier: Apache-2.0
// transformers' tokenizer classes as data: which one a folder means, and the pipeline that each builds around a vocabulary.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/tokenizer/pretrained_settings.h"

namespace bigmodel::tokenizer {

/// The class that AutoTokenizer (transformers 5.23) takes; "" where that is the general one, or one that keeps the pipeline of a
/// tokenizer.json. Looks into the folder's tokenizer.json where that decides. Throws IoError.
std::string_view choose_tokenizer_class(const PretrainedSettings& settings, const std::filesystem::path& folder);

/// What a class puts around text.
enum class PostProcessing {
  as_in_file,    ///< tokenizer.json's, else bos and eos as the settings say
  bos_eos,       ///< bos and eos as the settings say, always
  pieces,        ///< `single` and `pair`
  roberta,       ///< cls and sep, two of the latter between a pair
};

/// Whether the class adds all special tokens again when it is done, which may change their flags.
enum class Readded { no, bare, as_named };

struct ClassPipeline {
  std::string_view model;      ///< the type of model it is made for: "BPE", "WordPiece", "Unigram"
  std::vector<std::pair<std::string_view, std::string_view>> tokens;  ///< defaults: name and text
  bool pads_left = false;
  PostProcessing post_processing = PostProcessing::as_in_file;
  bool adds_bos = false;  ///< unless the settings say otherwise
  Readded specials = Readded::no;
  std::vector<std::string> single, pair;  ///< "$A", or the name of a special token; ":1" after it gives the type id
  int spm_drops = 0;                      ///< pieces of a SentencePiece model that make way for the four of `spm_first`
  std::vector<std::string_view> spm_first, spm_last;  ///< names of the special tokens before and after the pieces
  int extra_ids = 0;                      ///< "<extra_id_i>"
};

/// Null for "".
const ClassPipeline* class_pipeline(std::string_view name);

/// Special tokens that the class has unless the files name others.
void set_class_tokens(std::string_view name, PretrainedSettings& settings);

/// Sets the sections of `file` (a tokenizer.json object) that the class makes itself: normalizer, pre_tokenizer,
/// decoder and the options of "model"; the last without vocabulary. `charsmap` is base64, or empty.
void build_class_sections(std::string_view name, const PretrainedSettings& settings, const std::string& charsmap, nlohmann::ordered_json& file);

/// What the general class puts around a SentencePiece model.
nlohmann::ordered_json sentence_piece_normalizer(const std::string& charsmap);
nlohmann::ordered_json sentence_piece_decoder(bool byte_fallback, bool strips_prefix);

/// What sentencepiece itself puts around a word or character model.
nlohmann::ordered_json blanks_normalizer(const std::string& charsmap, bool removes_extra, bool adds_prefix);
nlohmann::ordered_json marks_pre_tokenizer(bool adds_prefix);

}  // namespace bigmodel::tokenizer
