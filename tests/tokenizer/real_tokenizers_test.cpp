// SPDX-License-Identifier: Apache-2.0
// Tokenizers of published models against the ids that the reference gives; folders without tokenizer.json; bad input.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/tokenizer_folder.h"
#include "bigmodel/tokenizer/tokenizer_json.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"
#include "tokenizer/encoding_json.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::optional<fs::path> file_of(const fs::path& tokenizers, const std::string& name) {
  for (const char* ending : {".json", ".json.xz"}) {
    if (fs::exists(tokenizers / (name + ending))) return tokenizers / (name + ending);
  }
  return std::nullopt;
}

/// Cases that differ.
std::size_t compare(const std::string& name, const Tokenizer& file, const Json& cases) {
  const Tokenizer tokenizer = file.with({}, {});
  Encoder encoder(tokenizer);
  std::size_t different = 0;
  for (const Json& row : cases) {
    const std::string text = row["text"];
    const Encoding plain = encoder.encode({text, {}}, {.add_special_tokens = false});
    const Json got = test::to_json(plain);
    const Encoding full = encoder.encode({text, {}});
    const Json& with = row.contains("ids_with_special") ? row["ids_with_special"] : row["ids"];
    bool same = got["ids"] == row["ids"] && got["tokens"] == row["tokens"] && got["offsets"] == row["offsets"] && Json(full.ids) == with;
    same = same && tokenizer.decode(plain.ids, true) == row["decoded"].get<std::string>();
    if (row.contains("decoded_with_special")) same = same && tokenizer.decode(plain.ids, false) == row["decoded_with_special"].get<std::string>();
    if (same) continue;
    if (++different <= 2) MESSAGE(name << " on " << Json(text).dump() << "\nexpected " << row.dump() << "\ngot      " << got.dump(-1, ' ', false, Json::error_handler_t::replace) << Json(full.ids).dump() << tokenizer.decode(plain.ids, true));
  }
  return different;
}

/// Processor time of this process: a busy machine does not count.
double used_s() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Json byte_level_file() { return Json::parse(test::read_maybe_xz(test::golden_path("tokenizer/own/byte_level.json"))); }

}  // namespace

TEST_CASE("tokenizers of published models give the reference's ids, tokens, offsets and texts") {
  const auto data = test::shared_path("data");
  if (!data) return;
  std::size_t seen = 0;
  test::Sampling sampling(6);
  for (const auto& entry : fs::directory_iterator(*data / "expected/tokenizers")) {
    const std::string name = entry.path().stem().string();
    const auto path = file_of(*data / "tokenizers", name);
    if (!path || !sampling.take()) continue;
    const Json expected = Json::parse(test::read_maybe_xz(entry.path()));
    const Tokenizer tokenizer(parse_tokenizer_json(test::read_maybe_xz(*path), name));
    CHECK_MESSAGE(compare(name, tokenizer, expected["cases"]) == 0, name);
    ++seen;
  }
  CHECK(seen >= (test::kSanitized ? 2 : 17));
  for (const char* refused : {"added-tokens", "pytorch-toy", "mini-llama"}) {
    CHECK_THROWS_AS(read_tokenizer(*data / "tokenizers" / (std::string(refused) + ".json")), Error);
  }
}

TEST_CASE("vocab.json with merges.txt is GPT-2's tokenizer, vocab.txt is BERT's") {
  const test::TempFolder folder;
  const Json file = byte_level_file();
  folder.write("vocab.json", file["model"]["vocab"].dump());
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : file["model"]["merges"]) merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  folder.write("merges.txt", merges);
  const Tokenizer byte_level(parse_tokenizer_json(file.dump(), "file"));
  const Tokenizer built = read_tokenizer(folder.path());
  for (const std::string text : {"hello  hello 123", "don't \xE7\x9A\x84"}) {
    CHECK(built.encode({text, {}}).ids == byte_level.encode({text, {}}).ids);
    CHECK(built.decode(built.encode({text, {}}).ids, false) == text);
  }

  const test::TempFolder bert;
  bert.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\n##x\n!\n");
  CHECK(read_tokenizer(bert.path()).encode({"Hellox! y", {}}).ids == std::vector<std::uint32_t>{2, 4, 5, 6, 1, 3});
  bert.write("tokenizer_config.json", R"({"do_lower_case": false})");
  CHECK(read_tokenizer(bert.path()).encode({"Hello!", {}}).ids == std::vector<std::uint32_t>{2, 1, 6, 3});

  const test::TempFolder none;
  CHECK_THROWS_AS(read_tokenizer(none.path()), NotFoundError);
  none.write("tokenizer.model", "\n");
  CHECK_THROWS_AS(read_tokenizer(none.path()), FormatError);
}

TEST_CASE("a regular expression that would run for ever gives up") {
  Json file = byte_level_file();
  file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(x+x+)+y"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Tokenizer tokenizer(parse_tokenizer_json(file.dump(), "file"));
  const double start_s = used_s();
  CHECK_THROWS_AS(tokenizer.encode({std::string(200, 'x'), {}}), UnsupportedError);
  CHECK(used_s() - start_s < 20);
}

TEST_CASE("a million added tokens are read and found") {
  Json file = byte_level_file();
  file["added_tokens"] = Json::array();
  std::string text = file.dump();
  std::string tokens;
  const std::size_t count = test::kSanitized ? 50'000 : 1'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    tokens += fmt::format(R"({}{{"id":{},"content":"<t{}>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}})", i == 0 ? "" : ",", 1000 + i, i);
  }
  text.replace(text.find(R"("added_tokens":[)") + 16, 0, tokens);
  const double start_s = used_s();
  const Tokenizer tokenizer(parse_tokenizer_json(text, "file"));
  CHECK(tokenizer.vocabulary_size(true) == tokenizer.vocabulary_size(false) + count);
  const std::string last_first = fmt::format("<t{}>a<t0>", count - 1);
  const std::vector<std::uint32_t> ids = tokenizer.encode({last_first, {}}).ids;
  CHECK(ids.size() == 3);
  CHECK(tokenizer.decode(ids, false) == last_first);
  CHECK(used_s() - start_s < 60);
}

TEST_CASE("text that is not UTF-8 is refused by its byte") {
  const Tokenizer tokenizer(parse_tokenizer_json(byte_level_file().dump(), "file"));
  CHECK_THROWS_WITH_AS(tokenizer.encode({"ab\xFF", {}}), doctest::Contains("byte 2 is not UTF-8"), FormatError);
}

TEST_CASE("a stream shows a byte token only when its row can no longer change") {
  const Tokenizer tokenizer(parse_tokenizer_json(test::read_maybe_xz(test::golden_path("tokenizer/own/byte_fallback.json")), "file"));
  StreamDecoder stream(tokenizer, true);
  const auto id = [&](const char* token) { return tokenizer.id_of(token).value(); };
  CHECK(stream.step(id("\xE2\x96\x81hello")) == "hello");
  CHECK(stream.step(id("<0xE7>")).empty());
  CHECK(stream.step(id("<0x9A>")).empty());
  CHECK(stream.step(id("<0x84>")).empty());
  CHECK(stream.step(id("e")) == "\xE7\x9A\x84" "e");
  CHECK(stream.step(id("<0x41>")).empty());
  CHECK(stream.finish() == "A");
}

TEST_CASE("a stream takes time in proportion to its length") {
  for (const char* name : {"byte_level", "byte_fallback", "word_piece"}) {
    const Tokenizer whole(parse_tokenizer_json(test::read_maybe_xz(test::golden_path(std::string("tokenizer/own/") + name + ".json")), name));
    const Tokenizer tokenizer = whole.with({}, {});   // one of the files cuts texts
    std::string text;
    for (int i = 0; i < (test::kSanitized ? 500 : 20'000); ++i) text += "hello \xE7\x9A\x84\xF0\x9F\x98\x80, 12 ";
    const std::vector<std::uint32_t> ids = tokenizer.encode({text, {}}).ids;
    CHECK(ids.size() > (test::kSanitized ? 1'000 : 50'000));
    StreamDecoder stream(tokenizer, true);
    const double start_s = used_s();
    std::string all;
    for (const std::uint32_t id : ids) all += stream.step(id);
    all += stream.finish();
    CHECK(all == tokenizer.decode(ids, true));
    CHECK(used_s() - start_s < 20);
  }
}

}  // namespace bigmodel::tokenizer
