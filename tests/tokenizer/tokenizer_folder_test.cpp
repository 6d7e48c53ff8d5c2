// SPDX-License-Identifier: Apache-2.0
// Folders against what transformers' AutoTokenizer makes of them: classes, special and added tokens, sides, chats.
#include "bigmodel/tokenizer/tokenizer_folder.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/chat_template.h"
#include "bigmodel/tokenizer/chat_template_folder.h"
#include "bigmodel/tokenizer/decoder.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Counts comparisons and shows the first differences.
struct Tally {
  std::size_t compared = 0, different = 0;
  void compare(const std::string& what, const Json& got, const Json& expected) {
    ++compared;
    if (got == expected || ++different > 10) return;
    const auto shown = [](const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 800); };
    MESSAGE(what << "\nexpected " << shown(expected) << "\ngot      " << shown(got));
  }
};

Json id_or_null(const FolderTokenizer& found, std::string_view name) {
  for (const auto& [token, text] : found.special_tokens) {
    if (token != name) continue;
    const auto id = found.tokenizer.id_of(text);
    return id ? Json(*id) : Json(nullptr);
  }
  return nullptr;
}

void compare_folder(const fs::path& folder, const Json& row, Tally& tally) {
  const std::string id = fmt::format("{} {}", row["id"].dump(), row.value("tokenizer", ""));
  if (row.contains("error")) {
    CHECK_THROWS_AS_MESSAGE(read_folder_tokenizer(folder), Error, id);
    return;
  }
  const FolderTokenizer found = read_folder_tokenizer(folder);
  const Tokenizer& tokenizer = found.tokenizer;
  Json specials = Json::object();
  for (const auto& [name, text] : found.special_tokens) specials[name] = text;
  tally.compare(id + " special_tokens_map", specials, row["special_tokens_map"]);
  for (const char* name : {"bos", "eos", "pad", "unk"}) {
    tally.compare(id + " " + name, id_or_null(found, std::string(name) + "_token"), row[std::string(name) + "_id"]);
  }
  tally.compare(id + " length", tokenizer.vocabulary_size(true), row["length"]);
  for (const Json& text : row["texts"]) {
    const std::string& input = text["text"].get_ref<const std::string&>();
    const std::string what = id + " on " + text["text"].dump();
    const Encoding with = tokenizer.encode({input, {}});
    tally.compare(what, with.ids, text["input"]["input_ids"]);
    if (text.contains("offsets")) tally.compare(what + " offsets", with.offsets, text["offsets"]);
    tally.compare(what + " plain", tokenizer.encode({input, {}}, {.add_special_tokens = false}).ids, text["plain"]);
    tally.compare(what + " decode", tokenizer.decode(with.ids, false), text["decode"]);
    tally.compare(what + " decode_skip", tokenizer.decode(with.ids, true), text["decode_skip"]);
  }
  if (row.contains("side") && found.padding) tally.compare(id + " side", found.padding->direction == Direction::left ? "left" : "right", row["side"]);
  if (row.contains("pair")) {
    const Json& pair = row["pair"];
    const Encoding both = tokenizer.encode({pair["text"].get_ref<const std::string&>(), pair["pair"].get_ref<const std::string&>()});
    tally.compare(id + " pair", both.ids, pair["ids"]);
    tally.compare(id + " types of a pair", both.type_ids, pair["types"]);
  }
  if (row.contains("batch")) {
    TruncationParams truncation = found.truncation;
    truncation.max_length = row["batch"]["max_length"];
    std::vector<TextInput> inputs;
    for (std::size_t i = 0; i < row["batch"]["result"]["input_ids"].size(); ++i) inputs.push_back({row["texts"][i]["text"].get_ref<const std::string&>(), {}});
    Json ids = Json::array();
    for (const Encoding& e : tokenizer.with(truncation, found.padding).encode_batch(inputs)) ids.push_back(e.ids);
    tally.compare(id + " batch", ids, row["batch"]["result"]["input_ids"]);
  }
  if (row.contains("chats")) {
    for (const Json& chat : row["chats"]) {
      if (!chat.contains("ids")) continue;
      tally.compare(id + " chat", tokenizer.encode({chat["text"].get_ref<const std::string&>(), {}}, {.add_special_tokens = false}).ids, chat["ids"]);
    }
  }
}

void write_files(const test::TempFolder& folder, const Json& files) {
  for (const auto& [name, content] : files.items()) folder.write(name, content.is_string() ? content.get<std::string>() : content.dump());
}

}  // namespace

TEST_CASE("folders of the large set give the reference's ids, texts and batches") {
  const auto goldens = test::shared_path("goldens/tokenizers");
  if (!goldens) return;
  Tally tally;
  std::size_t rows = 0;
  test::for_each_record(*goldens / "config/cases.jsonl.xz", [&](const Json& row) {
    const test::TempFolder folder;
    fs::copy_file(*goldens / "own" / row["tokenizer"].get<std::string>() / "tokenizer.json", folder.path() / "tokenizer.json");
    write_files(folder, row["files"]);
    compare_folder(folder.path(), row, tally);
    ++rows;
  });
  MESSAGE(rows << " folders, " << tally.compared << " results compared");
  CHECK(rows >= 20);
  CHECK(tally.different == 0);
}

TEST_CASE("folders of each kind of file and class give the reference's ids, texts and batches") {
  const fs::path goldens = test::golden_path("tokenizer/folders");
  Tally tally;
  std::size_t rows = 0;
  test::for_each_record(goldens / "cases.jsonl", [&](const Json& row) {
    compare_folder(goldens / row["id"].get<std::string>(), row, tally);
    ++rows;
  });
  MESSAGE(rows << " folders, " << tally.compared << " results compared");
  CHECK(rows >= 30);
  CHECK(tally.different == 0);
}

TEST_CASE("every class that builds its own pipeline gives the reference's ids, offsets and texts") {
  Tally tally;
  std::size_t rows = 0;
  Json vocabularies;
  test::for_each_record(test::golden_path("tokenizer/classes/cases.jsonl.xz"), [&](Json row) {
    if (row.contains("vocabularies")) {
      vocabularies = std::move(row["vocabularies"]);
      return;
    }
    const test::TempFolder folder;
    Json& file = row["tokenizer"];
    file["model"].update(vocabularies[row["vocabulary"].get_ref<const std::string&>()]);
    folder.write("tokenizer.json", file.dump());
    write_files(folder, row["files"]);
    row.erase("tokenizer");
    compare_folder(folder.path(), row, tally);
    ++rows;
  });
  MESSAGE(rows << " folders, " << tally.compared << " results compared");
  CHECK(rows >= 170);
  CHECK(tally.different == 0);
}

TEST_CASE("what a class may set in a model is refused in a file") {
  // Classes set the unknown token's place by its text; a file that does is as wrong as one with any other object there.
  for (const char* rule : {R"({"token": "a", "scoreless": true})", R"({"token": "a", "scoreless": true, "otherwise": 0})", "{}"}) {
    for (const char* name : {"PreTrainedTokenizerFast", "UdopTokenizer"}) {
      CAPTURE(rule);
      CAPTURE(name);
      const test::TempFolder folder;
      folder.write("tokenizer_config.json", fmt::format(R"({{"tokenizer_class": "{}"}})", name));
      folder.write("tokenizer.json", fmt::format(R"({{"version": "1.0", "model": {{"type": "Unigram", "unk_id": {}, "vocab": [["</s>", 0], ["<pad>", 0], ["a", 0]]}}}})", rule));
      CHECK_THROWS_WITH_AS(read_folder_tokenizer(folder.path()), doctest::Contains("bad 'unk_id', expected a whole number"), FormatError);
    }
  }
}

TEST_CASE("the pieces of a published SentencePiece model are sentencepiece's own") {
  const auto data = test::shared_path("data");
  if (!data) return;
  const test::TempFolder folder;
  fs::copy_file(*data / "tokenizers/mistral-v3.model", folder.path() / "tokenizer.model");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  const Tokenizer tokenizer = read_folder_tokenizer(folder.path()).tokenizer;
  Tally tally;
  const Json expected = Json::parse(test::read_maybe_xz(*data / "expected/tokenizers/mistral-v3.json"));
  for (const Json& row : expected["cases"]) {
    const std::string& text = row["text"].get_ref<const std::string&>();
    // Control pieces and the word mark itself are text to sentencepiece; blanks at the start and in a row are other pieces to transformers, which we follow.
    const auto has = [&text](const char* part) { return text.find(part) != std::string::npos; };
    if (has("<") || has("[") || has("\xE2\x96\x81") || has("  ") || text.starts_with(' ')) continue;
    tally.compare("mistral-v3 on " + row["text"].dump(), tokenizer.encode({text, {}}, {.add_special_tokens = false}).ids, row["ids"]);
  }
  MESSAGE(tally.compared << " texts compared");
  CHECK(tally.compared > 80);
  CHECK(tally.different == 0);
}

TEST_CASE("word and character models of SentencePiece give sentencepiece's own ids") {
  const fs::path goldens = test::golden_path("tokenizer/sentence_piece");
  Tally tally;
  test::for_each_record(goldens / "cases.jsonl", [&](const Json& row) {
    const std::string name = row["model"];
    const test::TempFolder folder;
    fs::copy_file(goldens / "models" / (name + ".model"), folder.path() / "tokenizer.model");
    const Tokenizer tokenizer = read_folder_tokenizer(folder.path()).tokenizer;
    for (const Json& text : row["texts"]) {
      const std::vector<std::uint32_t> ids = tokenizer.encode({text["text"].get_ref<const std::string&>(), {}}, {.add_special_tokens = false}).ids;
      tally.compare(name + " on " + text["text"].dump(), ids, text["ids"]);
      if (text.contains("decoded")) tally.compare(name + " back from " + text["ids"].dump(), tokenizer.decode(ids, false), text["decoded"]);
    }
  });
  MESSAGE(tally.compared << " results compared");
  CHECK(tally.compared >= 200);
  CHECK(tally.different == 0);
}

TEST_CASE("damaged SentencePiece models are refused") {
  const std::string model = test::read_maybe_xz(test::golden_path("tokenizer/folders/spm_general_bpe/tokenizer.model"));
  const test::TempFolder folder;
  for (std::size_t i = 0; i < model.size(); i += 1 + model.size() / 200) {
    // Cut off anywhere: refused, or whole fields are missing.
    folder.write("tokenizer.model", model.substr(0, i));
    try {
      read_folder_tokenizer(folder.path());
    } catch (const Error&) {
    }
    std::string broken = model;
    broken[i] = static_cast<char>(~broken[i]);
    folder.write("tokenizer.model", broken);
    try {
      read_folder_tokenizer(folder.path()).tokenizer.encode({"Hello <sep> \xE7\x9A\x84", {}});
    } catch (const Error&) {
    }
  }
  const auto refused = [&](const std::string& bytes, const char* what) {
    folder.write("tokenizer.model", bytes);
    CHECK_THROWS_WITH_AS(read_folder_tokenizer(folder.path()), doctest::Contains(what), Error);
  };
  refused("", "it has no pieces");
  refused("\x0A\xFF\xFF\xFF\xFF\x0F", "of which 0 are left");
  refused("\x0A\x03\x0A\x01\xFF", "not UTF-8");
  refused(std::string("\x0A\x03\x0A\x01" "a\x12\x03\xC0\x02\x05", 10), "unk_id 5, expected one of 1 pieces");
  refused("\x0A\x03\x0A\x01" "a\x12\x02\x18\x05", "model type 5");
  refused("\x0A\xC8\x10\x0A\xC5\x10" + std::string(2117, 'a'), "a piece of 2117 bytes");
}

}  // namespace bigmodel::tokenizer
