// SPDX-License-Identifier: Apache-2.0
// What a model's folder says about its tokenizer beside the vocabulary: class, special and added tokens, sides, switches.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/tokenizer/added_tokens.h"
#include "bigmodel/tokenizer/encoding.h"

namespace bigmodel::tokenizer {

/// The value of a named special token: a bare text, or a token with all its flags; none where the file says null.
struct NamedToken {
  std::string name;  ///< "bos_token" ..., or a name of the model's own such as "image_token"
  std::optional<AddedToken> token;
  bool bare = false;
};

/// transformers' reading of tokenizer_config.json, and of special_tokens_map.json and added_tokens.json where that has no
/// added_tokens_decoder. Unset optionals: no file says it.
struct PretrainedSettings {
  std::string class_name;              ///< as the files give it, "Fast" cut off; empty where none
  std::string model_type;              ///< of config.json
  std::vector<NamedToken> named;       ///< in the order of the reference: bos eos unk sep pad cls mask, then the model's own
  std::vector<NamedToken> extra;       ///< special tokens without a name
  std::map<std::uint32_t, AddedToken> added;
  bool has_added_tokens_decoder = false;
  std::optional<Direction> padding_side, truncation_side;
  bool clean_up_spaces = false, clean_up_bpe_too = false, split_special_tokens = false;
  std::optional<bool> add_bos_token, add_eos_token, add_prefix_space, legacy, do_lower_case, tokenize_chinese_chars, strip_accents,
      trim_offsets, keep_accents;

  const NamedToken* find(std::string_view name) const noexcept;
  /// Adds a token unless the files name it, null included.
  void set_default(std::string_view name, std::string_view content);
};

/// A file that is not there says nothing. Throws FormatError, IoError.
PretrainedSettings read_pretrained_settings(const std::filesystem::path& folder);

/// The JSON object in a file; an empty one where there is no such file. Throws FormatError, IoError.
nlohmann::ordered_json read_json_object(const std::filesystem::path& path);

}  // namespace bigmodel::tokenizer
