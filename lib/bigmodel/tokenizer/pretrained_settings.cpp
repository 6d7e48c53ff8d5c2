// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/pretrained_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/tokenizer/json_fields.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 7> kNames{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

AddedToken token_of(const Json& json, const std::string& object) {
  const JsonFields fields(json, object);
  AddedToken out;
  out.content = fields.text("content");
  out.single_word = fields.boolean_or("single_word", false);
  out.lstrip = fields.boolean_or("lstrip", false);
  out.rstrip = fields.boolean_or("rstrip", false);
  out.special = fields.boolean_or("special", false);
  out.normalized = fields.boolean_or("normalized", !out.special);
  return out;
}

AddedToken special_token(std::string content) { return {.content = std::move(content), .normalized = false, .special = true}; }

/// A text, an object with "content", or null; nothing of other kinds.
std::optional<NamedToken> named_token(std::string name, const Json& value, const std::string& object) {
  if (value.is_null()) return NamedToken{std::move(name), std::nullopt, false};
  if (value.is_string()) return NamedToken{std::move(name), special_token(value.get<std::string>()), true};
  if (!value.is_object() || !value.contains("content")) return std::nullopt;
  return NamedToken{std::move(name), token_of(value, object), false};
}

/// Replaces the token of that name, or appends it.
void put(std::vector<NamedToken>& tokens, NamedToken token) {
  const auto it = std::ranges::find(tokens, token.name, &NamedToken::name);
  if (it != tokens.end()) {
    *it = std::move(token);
  } else {
    tokens.push_back(std::move(token));
  }
}

void read_named(PretrainedSettings& out, const Json& config, const std::string& object) {
  const auto read = [&](const std::string& name, const Json& value) {
    if (auto token = named_token(name, value, fmt::format("{}, {}", object, name))) put(out.named, std::move(*token));
  };
  for (const std::string_view name : kNames) {
    if (const auto it = config.find(name); it != config.end()) read(std::string(name), *it);
  }
  for (const auto& [name, value] : config.items()) {
    const bool known = std::ranges::find(kNames, std::string_view(name)) != kNames.end();
    if (!known && name.ends_with("_token") && !value.is_null()) read(name, value);
  }
  const auto extra = config.find("extra_special_tokens");
  if (extra != config.end() && extra->is_object()) {
    for (const auto& [name, value] : extra->items()) read(name, value);
  }
}

/// The list under `key`, unless another was found before.
void read_extra(PretrainedSettings& out, const Json& config, const char* key, const std::string& object) {
  const auto list = config.find(key);
  if (!out.extra.empty() || list == config.end() || !list->is_array()) return;
  for (const Json& value : *list) {
    if (auto token = named_token("", value, fmt::format("{}, {}", object, key)); token && token->token) out.extra.push_back(std::move(*token));
  }
}

void read_added_tokens_decoder(PretrainedSettings& out, const Json& decoder, const std::string& object) {
  if (!decoder.is_object()) throw FormatError(fmt::format("{}: expected an object of ids and tokens, got {}", object, decoder.type_name()));
  for (const auto& [key, value] : decoder.items()) {
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      throw FormatError(fmt::format("{}: expected token ids as keys, got '{}'", object, key.substr(0, 40)));
    }
    out.added[id] = token_of(value, object);
  }
}

void read_added_tokens_file(PretrainedSettings& out, const fs::path& path) {
  const auto is_special = [&](const std::string& content) {
    const auto same = [&](const NamedToken& t) { return t.token && t.token->content == content; };
    return std::ranges::any_of(out.named, same) || std::ranges::any_of(out.extra, same);
  };
  const Json tokens = read_json_object(path);
  for (const auto& [content, id] : tokens.items()) {
    const bool special = is_special(content);
    out.added[as_id(id, path.string())] = {.content = content, .normalized = !special, .special = special};
  }
}

std::optional<bool> flag(const Json& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end() || !it->is_boolean()) return std::nullopt;
  return it->get<bool>();
}

std::optional<Direction> side(const Json& config, const char* key, const std::string& object) {
  const auto it = config.find(key);
  if (it == config.end()) return std::nullopt;
  if (*it == "left") return Direction::left;
  if (*it == "right") return Direction::right;
  throw FormatError(fmt::format("{}, {}: expected left or right, got {}", object, key, it->dump().substr(0, 40)));
}

std::string text(const Json& config, const char* key) {
  const auto it = config.find(key);
  return it != config.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

Json read_json_object(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return Json::object();
  Json out = read_json_file(path, {.refuse_duplicate_keys = false});
  if (!out.is_object()) throw FormatError(fmt::format("{}: expected a JSON object, got {}", path.string(), out.type_name()));
  return out;
}

bool is_common_name(std::string_view name) noexcept { return std::ranges::find(kNames, name) != kNames.end(); }

const NamedToken* PretrainedSettings::find(std::string_view name) const noexcept {
  const auto it = std::ranges::find(named, name, &NamedToken::name);
  return it == named.end() ? nullptr : &*it;
}

void PretrainedSettings::set_default(std::string_view name, std::string_view content) {
  if (find(name) != nullptr) return;
  // The named ones keep their order, whoever sets them first.
  const auto rank = [](std::string_view n) { return std::ranges::find(kNames, n) - kNames.begin(); };
  const auto place = std::ranges::find_if(named, [&](const NamedToken& t) { return rank(t.name) > rank(name); });
  named.insert(place, {std::string(name), special_token(std::string(content)), true});
}

PretrainedSettings read_pretrained_settings(const fs::path& folder) {
  PretrainedSettings out;
  const fs::path path = folder / "tokenizer_config.json";
  const std::string object = path.string();
  const Json config = read_json_object(path);
  read_named(out, config, object);
  read_extra(out, config, "extra_special_tokens", object);
  read_extra(out, config, "additional_special_tokens", object);
  const auto lists = [&config](const char* key) { return config.contains(key) && config[key].is_array(); };
  out.lists_extra = lists("extra_special_tokens") || lists("additional_special_tokens");
  out.has_added_tokens_decoder = config.contains("added_tokens_decoder");
  if (out.has_added_tokens_decoder) {
    read_added_tokens_decoder(out, config["added_tokens_decoder"], object + ", added_tokens_decoder");
  } else {
    const fs::path map = folder / "special_tokens_map.json";
    PretrainedSettings legacy;
    const Json tokens = read_json_object(map);
    read_named(legacy, tokens, map.string());
    read_extra(out, tokens, "extra_special_tokens", map.string());
    for (NamedToken& token : legacy.named) {
      // An object there is special whatever it says.
      if (token.token) token.token->special = true;
      put(out.named, std::move(token));
    }
    read_added_tokens_file(out, folder / "added_tokens.json");
    // Under the old name only now: the reference does not see these when it decides which added tokens are special.
    read_extra(out, tokens, "additional_special_tokens", map.string());
  }
  // bos ... mask first, as in the reference, wherever they were found.
  std::ranges::stable_sort(out.named, {}, [](const NamedToken& t) { return std::ranges::find(kNames, std::string_view(t.name)) - kNames.begin(); });
  for (NamedToken& named : out.named) {
    for (const auto& [id, token] : out.added) {
      if (named.token && named.token->content == token.content) {
        named.token = token;
        named.bare = false;
      }
    }
  }
  const Json model = read_json_object(folder / "config.json");
  out.model_type = text(model, "model_type");
  out.class_name = text(config, "tokenizer_class");
  if (out.class_name.empty()) out.class_name = text(model, "tokenizer_class");
  if (out.class_name.ends_with("Fast")) out.class_name.resize(out.class_name.size() - 4);
  out.padding_side = side(config, "padding_side", object);
  out.truncation_side = side(config, "truncation_side", object);
  out.clean_up_spaces = flag(config, "clean_up_tokenization_spaces").value_or(false);
  out.clean_up_bpe_too = flag(config, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output");
  out.split_special_tokens = flag(config, "split_special_tokens").value_or(false);
  out.add_bos_token = flag(config, "add_bos_token");
  out.add_eos_token = flag(config, "add_eos_token");
  for (const auto& [name, value] : config.items()) {
    if (value.is_boolean()) out.flags[name] = value.get<bool>();
    if (value.is_number_integer()) out.numbers[name] = value.get<std::int64_t>();
    if (value.is_string() && !name.ends_with("_token")) out.texts[name] = value.get<std::string>();
  }
  return out;
}

}  // namespace bigmodel::tokenizer
