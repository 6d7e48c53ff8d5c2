// SPDX-License-Identifier: Apache-2.0
// The model's vocabulary and merges are read straight from the text; everything else is small enough for JSON values.
#include "bigmodel/tokenizer/tokenizer_json.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/mapped_file.h"
#include "bigmodel/tokenizer/json_cursor.h"
#include "bigmodel/tokenizer/json_fields.h"
#include "bigmodel/tokenizer/model_json.h"
#include "bigmodel/tokenizer/tokenizer_parts.h"
#include "bigmodel/tokenizer/vocabulary_files.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestComponent = std::size_t{64} << 20;

Json parse_small(std::string_view text, const std::string& object) {
  if (text.empty()) return nullptr;
  if (text.size() > kLongestComponent) throw CapacityError(fmt::format("{}: {} bytes, expected at most {}", object, text.size(), kLongestComponent));
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    throw FormatError(fmt::format("{}: {}", object, e.what()));
  }
}

std::vector<AddedToken> read_added_tokens(std::string_view text, const std::string& object) {
  std::vector<AddedToken> out;
  if (text.empty()) return out;
  JsonCursor cursor(text, object);
  cursor.begin_array();
  bool first = true;
  std::string key;
  while (cursor.next_element(first)) {
    AddedToken token;
    unsigned seen = 0;
    bool first_key = true;
    cursor.begin_object();
    while (cursor.next_key(key, first_key)) {
      const auto flag = [&](bool& value, unsigned bit) {
        const std::string_view word = cursor.skip();
        if (word != "true" && word != "false") cursor.fail(fmt::format("bad '{}', expected true or false", key));
        value = word == "true";
        seen |= bit;
      };
      if (key == "id") {
        cursor.id();
        seen |= 1;
      } else if (key == "content") {
        cursor.string(token.content);
        seen |= 2;
      } else if (key == "single_word") {
        flag(token.single_word, 4);
      } else if (key == "lstrip") {
        flag(token.lstrip, 8);
      } else if (key == "rstrip") {
        flag(token.rstrip, 16);
      } else if (key == "normalized") {
        flag(token.normalized, 32);
      } else if (key == "special") {
        flag(token.special, 64);
      } else {
        cursor.skip();
      }
    }
    if (seen != 127) cursor.fail("an added token needs id, content, single_word, lstrip, rstrip, normalized and special");
    out.push_back(std::move(token));
  }
  return out;
}

Direction read_direction(const JsonFields& fields) {
  const std::string name = fields.text("direction");
  if (name != "Left" && name != "Right") fields.fail("direction", "Left or Right");
  return name == "Left" ? Direction::left : Direction::right;
}

std::optional<TruncationParams> read_truncation(const Json& json, const std::string& object) {
  if (json.is_null()) return std::nullopt;
  const JsonFields fields(json, object);
  TruncationParams out;
  if (fields.has("direction")) out.direction = read_direction(fields);
  out.max_length = fields.count("max_length");
  out.stride = fields.count("stride");
  const std::string strategy = fields.text("strategy");
  using Strategy = TruncationParams::Strategy;
  if (strategy == "LongestFirst") {
    out.strategy = Strategy::longest_first;
  } else if (strategy == "OnlyFirst") {
    out.strategy = Strategy::only_first;
  } else if (strategy == "OnlySecond") {
    out.strategy = Strategy::only_second;
  } else {
    fields.fail("strategy", "LongestFirst, OnlyFirst or OnlySecond");
  }
  return out;
}

std::optional<PaddingParams> read_padding(const Json& json, const std::string& object) {
  if (json.is_null()) return std::nullopt;
  const JsonFields fields(json, object);
  PaddingParams out;
  const Json& strategy = fields.at("strategy");
  if (strategy.is_object() && strategy.size() == 1 && strategy.contains("Fixed")) {
    out.fixed_length = JsonFields(strategy, object + ", strategy").count("Fixed");
  } else if (strategy != "BatchLongest") {
    fields.fail("strategy", R"("BatchLongest" or {"Fixed": length})");
  }
  out.direction = read_direction(fields);
  if (fields.has_value("pad_to_multiple_of")) out.pad_to_multiple_of = fields.count("pad_to_multiple_of");
  out.pad_id = fields.id("pad_id");
  out.pad_type_id = fields.id("pad_type_id");
  out.pad_token = fields.text("pad_token");
  return out;
}

}  // namespace

std::shared_ptr<TokenizerParts> parse_tokenizer_json(std::string_view text, const std::string& object, const EditSections& edit) {
  refuse_stand_in(text, object);
  if (text.starts_with("\xEF\xBB\xBF")) throw FormatError(fmt::format("{}: begins with a byte order mark, expected JSON without one", object));
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    throw FormatError(fmt::format("{}: byte {} is not UTF-8", object, bad));
  }
  static constexpr std::string_view kSmall[] = {"truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"};
  const auto name = [&](std::string_view part) { return fmt::format("{}, {}", object, part); };
  std::map<std::string, std::string_view, std::less<>> texts;
  auto parts = std::make_shared<TokenizerParts>();
  JsonCursor cursor(text, object);
  std::optional<ModelText> model;
  if (cursor.peek() != JsonCursor::Kind::object) cursor.fail("expected an object");
  cursor.begin_object();
  std::string key;
  bool first = true;
  while (cursor.next_key(key, first)) {
    if (key != "version" && key != "added_tokens" && key != "model" && std::ranges::find(kSmall, key) == std::end(kSmall)) {
      cursor.fail(fmt::format("unknown key '{}'", key.substr(0, 80)));
    }
    if (key == "model") {
      if (model) (void)model->build();  // the last one counts, but all are checked
      model.emplace(cursor, name("model"));
    } else {
      texts[key] = cursor.skip();
    }
  }
  cursor.expect_end();
  if (texts.contains("version")) {
    const Json version = parse_small(texts["version"], name("version"));
    if (!version.is_string() || version.get_ref<const std::string&>() != "1.0") {
      throw UnsupportedError(fmt::format("{}: version {}, expected \"1.0\"", object, version.dump().substr(0, 60)));
    }
  }
  Json sections = Json::object();
  for (const std::string_view part : kSmall) sections[std::string(part)] = parse_small(texts[std::string(part)], name(part));
  sections["added_tokens"] = nullptr;
  if (!model) throw FormatError(fmt::format("{}: no 'model', expected one", object));
  if (edit) {
    parts->model = model->build([&](Json& options) {
      sections["model"] = options;
      edit(sections);
      options = sections["model"];
    });
  } else {
    parts->model = model->build();
  }
  if (const Json& json = sections["normalizer"]; !json.is_null()) parts->normalizer = read_normalizer(json, name("normalizer"));
  parts->pre_tokenizer = read_pre_tokenizer(sections["pre_tokenizer"], name("pre_tokenizer"));
  if (const Json& json = sections["post_processor"]; !json.is_null()) parts->post_processor = read_post_processor(json, name("post_processor"));
  if (const Json& json = sections["decoder"]; !json.is_null()) parts->decoder = read_decoder(json, name("decoder"));
  parts->truncation = read_truncation(sections["truncation"], name("truncation"));
  parts->padding = read_padding(sections["padding"], name("padding"));
  const std::string replaced = sections["added_tokens"].is_null() ? std::string() : sections["added_tokens"].dump();
  const std::string_view tokens = replaced.empty() ? texts["added_tokens"] : std::string_view(replaced);
  parts->added_tokens.add(read_added_tokens(tokens, name("added_tokens")), *parts->model, parts->normalizer.get());
  return parts;
}

Tokenizer read_tokenizer_json(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return Tokenizer(parse_tokenizer_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string()));
}

}  // namespace bigmodel::tokenizer
