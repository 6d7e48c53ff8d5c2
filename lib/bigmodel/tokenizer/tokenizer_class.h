// SPDX-License-Identifier: Apache-2.0
// transformers' tokenizer classes as data: which one a folder means, and the pipeline that each builds around a vocabulary.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
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
  over_the_files, ///< the same in the place of tokenizer.json's; where that has none, bos and eos as the settings say
  own,           ///< a function of the class
};

/// Whether the class adds all special tokens again when it is done, which may change their flags.
enum class Readded { no, bare, as_named };

/// How decode() of a class differs from its pipeline's.
enum class Decoding {
  plain,
  word_ends,    ///< "</w>" is a blank, and the ends are stripped
  ctc,          ///< equal ids in a row are one, pad tokens are none
  no_timestamps ///< "<|1.20|>" and its like are left out
};

struct ClassPipeline {
  std::string_view model = {};  ///< the type of model it is made for: "BPE", "WordPiece", "Unigram"; "" for any
  std::vector<std::pair<std::string_view, std::string_view>> tokens = {};  ///< defaults: name and text
  bool keeps_file = false;  ///< the pipeline of a tokenizer.json or a SentencePiece model stays; only a bare vocabulary gets the class's
  bool pads_left = false;
  PostProcessing post_processing = PostProcessing::as_in_file;
  bool adds_bos = false;  ///< unless the settings say otherwise
  Readded specials = Readded::no;
  std::vector<std::string> single = {}, pair = {};  ///< "$A", or the name of a special token; ":1" after it gives the type id
  bool normalized_mask = false;  ///< a mask token that is named by a bare text is looked for in the normalized text
  bool lstrip_mask = false;      ///< a mask token of that kind takes the blanks before it
  Decoding decoding = Decoding::plain;
  int spm_drops = 0;                      ///< pieces of a SentencePiece model that make way for those of `spm_first`
  std::vector<std::string_view> spm_first = {}, spm_last = {};  ///< texts, or names of special tokens, before and after the pieces
  bool has_extra_ids = false;             ///< "<extra_id_i>", in falling order behind the pieces
};

/// Null for "".
const ClassPipeline* class_pipeline(std::string_view name);

/// Special tokens that the class has unless the files name others, with and without a name. Throws FormatError where the class
/// refuses the settings.
void set_class_tokens(std::string_view name, PretrainedSettings& settings);

/// How many "<extra_id_i>" the settings ask for.
int extra_id_count(const PretrainedSettings& settings);

/// Sets the sections of `file` (a tokenizer.json object) that the class makes itself: normalizer, pre_tokenizer,
/// decoder and the options of "model"; the last without vocabulary, but for classes that have one of their own. `charsmap` is
/// base64, or empty.
void build_class_sections(std::string_view name, const PretrainedSettings& settings, const std::string& charsmap, nlohmann::ordered_json& file);

/// Ids and texts of the tokens that the vocabulary or the added tokens know.
struct TokenLookup {
  std::function<std::optional<std::uint32_t>(std::string_view)> id;
  std::function<std::optional<std::string>(std::uint32_t)> text;
};

/// The post_processor section of a class, or of the general one for "". `object` names the files in errors. Throws FormatError
/// where it needs a token that is not there.
nlohmann::ordered_json class_post_processor(std::string_view name, const PretrainedSettings& settings, const TokenLookup& find, const std::string& object);

/// What the general class puts around a SentencePiece model.
nlohmann::ordered_json sentence_piece_normalizer(const std::string& charsmap);
nlohmann::ordered_json sentence_piece_decoder(bool byte_fallback, bool strips_prefix);

/// What sentencepiece itself puts around a word or character model.
nlohmann::ordered_json blanks_normalizer(const std::string& charsmap, bool removes_extra, bool adds_prefix);
nlohmann::ordered_json marks_pre_tokenizer(bool adds_prefix);

}  // namespace bigmodel::tokenizer
