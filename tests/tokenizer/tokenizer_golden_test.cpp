// SPDX-License-Identifier: Apache-2.0
// Tokenizers against the reference's recorded results: encodings, offsets, decodes, streams, batches, odd files.
#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/pre_tokenized.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "bigmodel/tokenizer/tokenizer_json.h"
#include "bigmodel/tokenizer/tokenizer_parts.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"
#include "tokenizer/encoding_json.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;
using test::to_json;

/// What a call gives, or {"error"} where it throws.
template <typename Call>
Json attempt(Call call) {
  try {
    return call();
  } catch (const Error& error) {
    return Json{{"error", error.what()}};
  }
}

std::string shown(const Json& json, std::size_t size) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, size);
}

/// Counts comparisons and shows the first differences.
class Tally {
 public:
  explicit Tally(std::string name) : name_(std::move(name)) {}
  void compare(const Json& row, std::string_view what, const Json& got, const Json& expected) {
    ++compared_;
    if (expected.is_object() && expected.contains("error")) {
      // Where the reference crashes anything but a crash will do.
      if (expected["class"] == "PanicException" || got.contains("error")) return;
    } else if (got == expected) {
      return;
    }
    ++different_;
    if (different_ > 3) return;
    MESSAGE(name_ << ", " << what << ", " << shown(row, 300) << "\nexpected " << shown(expected, 1500) << "\ngot      "
                  << shown(got, 1500));
  }
  std::size_t compared() const { return compared_; }
  std::size_t different() const { return different_; }

 private:
  std::string name_;
  std::size_t compared_ = 0, different_ = 0;
};

std::string decoded(const Tokenizer& tokenizer, const Json& ids, bool skip) {
  return tokenizer.decode(ids.get<std::vector<std::uint32_t>>(), skip);
}

void compare_encode(const Tokenizer& tokenizer, const Json& row, Tally& tally) {
  const std::string text = row["text"];
  const Json with = attempt([&] { return to_json(tokenizer.encode({text, {}})); });
  tally.compare(row, "with", with, row["with"]);
  tally.compare(row, "without", attempt([&] { return to_json(tokenizer.encode({text, {}}, {.add_special_tokens = false})); }), row["without"]);
  if (row["with"].contains("ids")) {
    const Json ids_only = attempt([&] { return Json(tokenizer.encode({text, {}}, {.ids_only = true}).ids); });
    tally.compare(row, "ids only", ids_only, row["with"]["ids"]);
  }
  if (!row.contains("decode_skip")) return;
  const Json& ids = row["with"]["ids"];
  tally.compare(row, "decode_skip", attempt([&] { return Json(decoded(tokenizer, ids, true)); }), row["decode_skip"]);
  tally.compare(row, "decode_all", attempt([&] { return Json(decoded(tokenizer, ids, false)); }), row["decode_all"]);
}

void compare_stages(const Tokenizer& tokenizer, const Json& row, Tally& tally) {
  const TokenizerParts& parts = tokenizer.parts();
  const std::string text = row["text"];
  tally.compare(row, "normalized", attempt([&] { return Json(parts.normalizer ? normalized(*parts.normalizer, text) : text); }), row["normalized"]);
  if (!row.contains("pre_tokens") || !row["normalized"].is_string()) return;
  const std::string input = row["normalized"];
  tally.compare(row, "pre_tokens", attempt([&] { return test::pre_tokens(parts.pre_tokenizer, input); }), row["pre_tokens"]);
}

void compare_stream(const Tokenizer& tokenizer, const Json& row, Tally& tally) {
  const auto ids = row["ids"].get<std::vector<std::uint32_t>>();
  const bool skip = row["skip"];
  tally.compare(row, "prefixes", attempt([&] {
                  Json out = Json::array();
                  for (std::size_t k = 1; k <= ids.size(); ++k) out.push_back(tokenizer.decode(std::span(ids).first(k), skip));
                  return out;
                }),
                row["prefixes"]);
  // The promise of StreamDecoder: whole characters, and in the end the text of all ids.
  StreamDecoder stream(tokenizer, skip);
  std::string all;
  for (const std::uint32_t id : ids) {
    const std::string piece = stream.step(id);
    if (piece.ends_with("\xEF\xBF\xBD")) tally.compare(row, "a piece that may yet change", piece, nullptr);
    all += piece;
  }
  all += stream.finish();
  tally.compare(row, "stream", all, tokenizer.decode(ids, skip));
}

void compare_batch(const Json& file, const Json& row, Tally& tally) {
  if (!row.contains("json")) return;
  Json changed = file;
  for (const auto& [key, value] : row["json"].items()) changed[key] = value;
  std::vector<TextInput> inputs;
  for (const Json& text : row["batch"]) {
    if (text.is_string()) {
      inputs.push_back({text.get_ref<const std::string&>(), {}});
    } else {
      inputs.push_back({text[0].get_ref<const std::string&>(), text[1].get_ref<const std::string&>()});
    }
  }
  for (const bool special : {true, false}) {
    tally.compare(row, special ? "with" : "without", attempt([&] {
                    const Tokenizer tokenizer(parse_tokenizer_json(changed.dump(), "tokenizer.json"));
                    Json out = Json::array();
                    for (const Encoding& e : tokenizer.encode_batch(inputs, {.add_special_tokens = special})) out.push_back(to_json(e));
                    return out;
                  }),
                  row[special ? "with" : "without"]);
  }
}

void compare_row(const Tokenizer& tokenizer, const Json& file, const Json& row, Tally& tally) {
  const std::string kind = row["kind"];
  if (kind == "info") {
    tally.compare(row, "vocab_size", tokenizer.vocabulary_size(false), row["vocab_size"]);
    tally.compare(row, "vocab_size_with_added", tokenizer.vocabulary_size(true), row["vocab_size_with_added"]);
  } else if (kind == "encode") {
    compare_encode(tokenizer, row, tally);
  } else if (kind == "stages") {
    compare_stages(tokenizer, row, tally);
  } else if (kind == "pair") {
    const std::string a = row["a"], b = row["b"];
    tally.compare(row, "with", attempt([&] { return to_json(tokenizer.encode({a, b})); }), row["with"]);
    tally.compare(row, "without", attempt([&] { return to_json(tokenizer.encode({a, b}, {.add_special_tokens = false})); }), row["without"]);
  } else if (kind == "pretokenized") {
    const auto words = row["words"].get<std::vector<std::string>>();
    tally.compare(row, "with", attempt([&] { return to_json(tokenizer.encode_words(words)); }), row["with"]);
  } else if (kind == "decode") {
    tally.compare(row, "skip", attempt([&] { return Json(decoded(tokenizer, row["ids"], true)); }), row["skip"]);
    tally.compare(row, "all", attempt([&] { return Json(decoded(tokenizer, row["ids"], false)); }), row["all"]);
  } else if (kind == "decode_batch") {
    if (!row["texts"].is_array()) return;
    for (std::size_t i = 0; i < row["ids"].size(); ++i) {
      tally.compare(row, "texts", attempt([&] { return Json(decoded(tokenizer, row["ids"][i], true)); }), row["texts"][i]);
    }
  } else if (kind == "stream") {
    compare_stream(tokenizer, row, tally);
  } else if (kind == "batch") {
    compare_batch(file, row, tally);
  }
}

std::size_t compare_own(const std::string& name, const std::filesystem::path& path, const std::filesystem::path& cases, test::Sampling& sampling) {
  const std::string text = test::read_maybe_xz(path);
  const Tokenizer tokenizer(parse_tokenizer_json(text, "tokenizer.json"));
  const Json file = Json::parse(text);
  Tally tally(name);
  test::for_each_record(cases, [&](const Json& row) {
    if (sampling.take()) compare_row(tokenizer, file, row, tally);
  });
  CHECK_MESSAGE(tally.different() == 0, name << ": " << tally.different() << " of " << tally.compared() << " differ");
  return tally.compared();
}

void compare_load(const Json& row, Tally& tally) {
  std::optional<Tokenizer> tokenizer;
  const Json loaded = attempt([&] {
    tokenizer.emplace(parse_tokenizer_json(row["json"].get_ref<const std::string&>(), "tokenizer.json"));
    return Json(true);
  });
  tally.compare(row["name"], "ok", loaded.is_boolean() ? Json(true) : Json(false), row["ok"]);
  if (!tokenizer || !row["ok"].get<bool>()) return;
  for (const Json& expected : row["encodings"]) {
    Json got = attempt([&] {
      Json out = to_json(tokenizer->encode({expected["text"].get_ref<const std::string&>(), {}}));
      Json kept{{"text", expected["text"]}, {"ids", out["ids"]}, {"tokens", out["tokens"]}, {"offsets", out["offsets"]}};
      kept["decode"] = decoded(*tokenizer, out["ids"], true);
      kept["decode_all"] = decoded(*tokenizer, out["ids"], false);
      return kept;
    });
    tally.compare(row["name"], "encoding", got, expected);
  }
}

void compare_loads(const std::filesystem::path& cases) {
  Tally tally(cases.filename().string());
  test::for_each_record(cases, [&](const Json& row) { compare_load(row, tally); });
  CHECK(tally.different() == 0);
  CHECK(tally.compared() > 0);
}

}  // namespace

TEST_CASE("a small tokenizer of each kind encodes and decodes as the reference does") {
  test::Sampling all(1);
  for (const std::string name : {"byte_level", "roberta_pairs", "byte_fallback", "word_piece", "unigram", "word_level", "split_regex"}) {
    const auto folder = test::golden_path("tokenizer/own");
    CHECK(compare_own(name, folder / (name + ".json"), folder / (name + ".cases.jsonl"), all) > 60);
  }
}

TEST_CASE("every tokenizer of the large set encodes, decodes, streams and pads as the reference does") {
  const auto folder = test::shared_path("goldens/tokenizers/own");
  if (!folder) return;
  test::Sampling sampling(20);
  std::size_t tokenizers = 0, compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    ++tokenizers;
    compared += compare_own(entry.path().filename().string(), entry.path() / "tokenizer.json", entry.path() / "cases.jsonl.xz", sampling);
  }
  CHECK(tokenizers >= 71);
  CHECK(compared > (test::kSanitized ? 2000 : 60000));
}

TEST_CASE("odd and broken tokenizer files of the large set are taken or refused as the reference does") {
  if (const auto folder = test::shared_path("goldens/tokenizers/load")) compare_loads(*folder / "cases.jsonl.xz");
}

TEST_CASE("files that load and fail only where a text is encoded say what is wrong there") {
  const auto folder = test::shared_path("goldens/tokenizers/load");
  if (!folder) return;
  const std::map<std::string, std::string> expected{
      {"unk_missing", "BPE: a character is not in the vocabulary, and neither is the unknown token '[MISSING]'"},
      {"empty_vocab", "BPE: a character is not in the vocabulary, and neither is the unknown token '<unk>'"},
      {"pre_fixedlength_zero", "pre_tokenizer, FixedLength: length 0, expected at least 1"},
      {"post_template_missing_special", "post_processor: the template names '<s>', which is not among its special_tokens"},
      {"post_template_b_in_single", "post_processor: the template for one text names sequence B"},
      {"trunc_stride_ge", "truncation: stride 2, expected less than the 2 tokens that are left without special ones"},
      {"uni_unk_missing", "Unigram: a character is not in the vocabulary, and there is no unk_id"},
      {"wp_no_unk_in_vocab", "WordPiece: a word is not in the vocabulary, and neither is the unknown token '[UNK]'"}};
  std::size_t found = 0;
  test::for_each_record(*folder / "cases.jsonl.xz", [&](const Json& row) {
    if (!row["ok"].get<bool>() || !row["encodings"][0].contains("error")) return;
    ++found;
    const std::string name = row["name"];
    CAPTURE(name);
    REQUIRE(expected.contains(name));
    const Tokenizer tokenizer(parse_tokenizer_json(row["json"].get_ref<const std::string&>(), "tokenizer.json"));
    const std::string text = row["encodings"][0]["text"];
    CHECK_THROWS_WITH_AS(tokenizer.encode({text, {}}), expected.at(name).c_str(), Error);
  });
  CHECK(found == expected.size());
}

}  // namespace bigmodel::tokenizer
