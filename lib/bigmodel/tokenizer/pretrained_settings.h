// SPDX-License-Identifier: Apache-2.0
// What a model's folder says about its tokenizer beside the vocabulary: class, special and added tokens, sides, switches.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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
  bool clean_up_spaces = false, split_special_tokens = false;
  std::optional<bool> clean_up_bpe_too, add_bos_token, add_eos_token;
  bool lists_extra = false;            ///< tokenizer_config.json has a list of extra tokens, empty or not: no class adds its own
  std::map<std::string, bool, std::less<>> flags;            ///< what else tokenizer_config.json says, by kind
  std::map<std::string, std::int64_t, std::less<>> numbers;
  std::map<std::string, std::string, std::less<>> texts;

  const NamedToken* find(std::string_view name) const noexcept;
  /// A setting, or `missing` where the files do not say it, or as another kind.
  bool flag(std::string_view name, bool missing) const { return value_of(flags, name, missing); }
  std::int64_t number(std::string_view name, std::int64_t missing) const { return value_of(numbers, name, missing); }
  std::string text(std::string_view name, std::string_view missing) const { return value_of(texts, name, std::string(missing)); }
  bool is_flag(std::string_view name) const { return flags.find(name) != flags.end(); }
  bool is_text(std::string_view name) const { return texts.find(name) != texts.end(); }
  /// Adds a token unless the files name it, null included.
  void set_default(std::string_view name, std::string_view content);

 private:
  template <typename Map>
  static typename Map::mapped_type value_of(const Map& map, std::string_view name, typename Map::mapped_type missing) {
    const auto it = map.find(name);
    return it == map.end() ? std::move(missing) : it->second;
  }
};

/// Whether it is one of the names that every class has: bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token.
bool is_common_name(std::string_view name) noexcept;

/// A file that is not there says nothing. Throws FormatError, IoError.
PretrainedSettings read_pretrained_settings(const std::filesystem::path& folder);

/// The JSON object in a file; an empty one where there is no such file. Throws FormatError, IoError.
nlohmann::ordered_json read_json_object(const std::filesystem::path& path);

}  // namespace bigmodel::tokenizer
