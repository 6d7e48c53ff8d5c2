// SPDX-License-Identifier: Apache-2.0
// Normalizers, character classes and split patterns against the reference, code point by code point.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/normalizer.h"
#include "bigmodel/tokenizer/pre_tokenizer.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"
#include "tokenizer/encoding_json.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

Json bert(bool clean, bool chinese, Json accents, bool lower) {
  return {{"type", "BertNormalizer"}, {"clean_text", clean}, {"handle_chinese_chars", chinese}, {"strip_accents", accents}, {"lowercase", lower}};
}

std::map<std::string, std::unique_ptr<Normalizer>> normalizers() {
  const std::map<std::string, Json> descriptions = {
      {"nfc", {{"type", "NFC"}}},
      {"nfd", {{"type", "NFD"}}},
      {"nfkc", {{"type", "NFKC"}}},
      {"nfkd", {{"type", "NFKD"}}},
      {"lower", {{"type", "Lowercase"}}},
      {"strip_accents", {{"type", "StripAccents"}}},
      {"nfd_strip", Json::parse(R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]})")},
      {"nmt", {{"type", "Nmt"}}},
      {"strip", {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}},
      {"bert", bert(true, true, nullptr, true)},
      {"bert_clean", bert(true, false, false, false)},
      {"bert_chinese", bert(false, true, false, false)},
      {"bert_accents", bert(false, false, true, false)},
      {"byte_level", {{"type", "ByteLevel"}}}};
  std::map<std::string, std::unique_ptr<Normalizer>> out;
  for (const auto& [name, json] : descriptions) out.emplace(name, read_normalizer(json, name));
  return out;
}

std::string text_of(char32_t c) {
  std::string out;
  append_utf8(out, c);
  return out;
}

std::string after_a(char32_t c) {
  std::string out(1, 'a');
  append_utf8(out, c);
  return out;
}

/// Under sanitizers the scripts before the ideographs have to do.
constexpr char32_t kLast = test::kSanitized ? 0x1FFF : 0x10FFFF;
bool is_surrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }
bool is_hangul(char32_t c) { return c >= 0xAC00 && c <= 0xD7A3; }

/// Inclusive ranges of the code points for which `test` holds.
template <typename Test>
Json ranges(Test test) {
  Json out = Json::array();
  for (char32_t c = 0; c <= kLast; ++c) {
    if (is_surrogate(c) || !test(c)) continue;
    if (!out.empty() && out.back()[1] == c - 1) {
      out.back()[1] = c;
    } else {
      out.push_back({c, c});
    }
  }
  return out;
}

void check_ranges(const Json& flags, const std::string& name, const Json& got) {
  std::string first;
  Json expected = Json::array();
  for (const Json& range : flags[name]) {
    const auto [begin, end] = range.get<std::pair<std::uint32_t, std::uint32_t>>();
    if (begin <= kLast) expected.push_back({begin, std::min<std::uint32_t>(end, kLast)});
  }
  for (std::size_t i = 0; i < std::max(got.size(), expected.size()) && first.empty(); ++i) {
    const Json a = i < expected.size() ? expected[i] : Json(), b = i < got.size() ? got[i] : Json();
    if (a != b) first = "expected " + a.dump() + ", got " + b.dump();
  }
  CHECK_MESSAGE(first.empty(), name << ": " << first);
}

PreTokenizerPlan splitter(std::string_view regex, std::string_view behavior, bool invert) {
  return read_pre_tokenizer({{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}, {"invert", invert}}, "split");
}

/// How many pieces a text becomes.
std::size_t pieces(const PreTokenizerPlan& plan, std::string_view text) {
  PreTokenized work(text);
  pre_tokenize(plan, work);
  return work.pieces().size();
}

void compare_patterns(const std::filesystem::path& folder, std::string_view suffix) {
  std::vector<std::string> texts;
  test::for_each_record(folder / ("texts.jsonl" + std::string(suffix)), [&](const Json& row) { texts.push_back(row["text"]); });
  std::size_t rows = 0, different = 0;
  test::for_each_record(folder / ("pieces.jsonl" + std::string(suffix)), [&](const Json& row) {
    ++rows;
    static const std::map<std::string, std::string> kBehaviors = {{"isolated", "Isolated"},
                                                                  {"removed", "Removed"},
                                                                  {"merged_with_previous", "MergedWithPrevious"},
                                                                  {"merged_with_next", "MergedWithNext"},
                                                                  {"contiguous", "Contiguous"}};
    const std::string pattern = row["pattern"];
    std::optional<PreTokenizerPlan> plan;
    try {
      plan.emplace(splitter(row["regex"].get<std::string>(), kBehaviors.at(row["behavior"]), row["invert"]));
    } catch (const Error& error) {
      CHECK_MESSAGE(row.contains("error"), pattern << ": " << error.what());
      return;
    }
    CHECK_MESSAGE(!row.contains("error"), pattern << ": accepted, expected " << row.dump());
    if (row.contains("error")) return;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      PreTokenized work(texts[i]);
      pre_tokenize(*plan, work);
      Json got = Json::array();
      for (const Piece& piece : work.pieces()) {
        got.push_back(piece.begin);
        got.push_back(piece.end);
      }
      if (got == row["pieces"][i]) continue;
      if (++different < 10) MESSAGE(pattern << " " << row["behavior"] << " on " << Json(texts[i]).dump() << "\nexpected " << row["pieces"][i] << "\ngot      " << got);
    }
  });
  CHECK(rows > 0);
  CHECK(different == 0);
}

}  // namespace

TEST_CASE("normalizers give the recorded strings") {
  const auto folder = test::shared_path("goldens/tokenizers/unicode");
  if (!folder) return;
  const auto all = normalizers();
  std::size_t rows = 0, different = 0;
  test::for_each_record(*folder / "strings.jsonl.xz", [&](const Json& row) {
    ++rows;
    const std::string text = row["text"];
    for (const auto& [name, normalizer] : all) {
      const std::string expected = row.contains(name) ? row[name].get<std::string>() : text;
      const std::string got = normalized(*normalizer, text);
      if (got != text) CHECK_FALSE(normalizer->surely_unchanged(text));
      if (got != expected && ++different < 10) MESSAGE(name << " of " << Json(text).dump() << ": expected " << Json(expected).dump() << ", got " << Json(got).dump());
    }
  });
  CHECK(rows == 3000);
  CHECK(different == 0);
}

TEST_CASE("normalizers change the recorded code points and no other") {
  const auto folder = test::shared_path("goldens/tokenizers/unicode");
  if (!folder) return;
  std::map<char32_t, Json> changed;
  test::for_each_record(*folder / "codepoints.jsonl.xz", [&](const Json& row) { changed[row["cp"].get<std::uint32_t>()] = row; });
  const auto all = normalizers();
  std::size_t different = 0;
  for (char32_t c = 0; c <= kLast; ++c) {
    if (is_surrogate(c)) continue;
    const std::string text = text_of(c);
    const auto row = changed.find(c);
    for (const std::string name : {"nfc", "nfd", "nfkc", "nfkd", "lower", "nmt"}) {
      if (is_hangul(c) && (name == "nfd" || name == "nfkd")) continue;
      const std::string expected = row != changed.end() && row->second.contains(name) ? row->second[name].get<std::string>() : text;
      if (normalized(*all.at(name), text) != expected && ++different < 10) MESSAGE(name << " of code point " << static_cast<std::uint32_t>(c));
    }
  }
  CHECK(different == 0);
}

TEST_CASE("character classes hold the recorded code points") {
  const auto folder = test::shared_path("goldens/tokenizers/unicode");
  if (!folder) return;
  const Json flags = Json::parse(test::read_maybe_xz(*folder / "flags.json"));
  const auto all = normalizers();
  const auto becomes = [&](const char* name, std::string_view wanted) {
    return ranges([&, wanted](char32_t c) { return normalized(*all.at(name), text_of(c)) == wanted; });
  };
  check_ranges(flags, "stripped_by_StripAccents", becomes("strip_accents", ""));
  check_ranges(flags, "bert_removed", becomes("bert_clean", ""));
  check_ranges(flags, "bert_space", becomes("bert_clean", " "));
  check_ranges(flags, "bert_chinese", ranges([&](char32_t c) { return count_code_points(normalized(*all.at("bert_chinese"), text_of(c))) == 3; }));
  check_ranges(flags, "Strip_whitespace", becomes("strip", ""));
  const auto plan = [](Json json) { return read_pre_tokenizer(json, "pre_tokenizer"); };
  const PreTokenizerPlan whitespace = plan({{"type", "Whitespace"}}), split = plan({{"type", "WhitespaceSplit"}});
  const PreTokenizerPlan punctuation = plan({{"type", "Punctuation"}}), digits = plan({{"type", "Digits"}, {"individual_digits", false}});
  check_ranges(flags, "Whitespace_word", ranges([&](char32_t c) {
                 const std::string text = after_a(c);
                 const Json got = test::pre_tokens(whitespace, text);
                 return got.size() == 1 && got[0][1] == Json{0, 2};
               }));
  check_ranges(flags, "Whitespace_space", ranges([&](char32_t c) { return pieces(whitespace, text_of(c)) == 0; }));
  check_ranges(flags, "WhitespaceSplit_space", ranges([&](char32_t c) { return pieces(split, text_of(c)) == 0; }));
  check_ranges(flags, "Punctuation", ranges([&](char32_t c) { return pieces(punctuation, after_a(c)) == 2; }));
  check_ranges(flags, "Digits", ranges([&](char32_t c) { return pieces(digits, after_a(c)) == 2; }));
  for (const auto& [name, regex] : std::map<std::string, std::string>{
           {"onig_L", R"(\p{L})"}, {"onig_N", R"(\p{N})"}, {"onig_M", R"(\p{M})"}, {"onig_P", R"(\p{P})"}, {"onig_S", R"(\p{S})"}, {"onig_s", R"(\s)"},
           {"onig_w", R"(\w)"}, {"onig_d", R"(\d)"}, {"onig_Lu", R"(\p{Lu})"}, {"onig_Ll", R"(\p{Ll})"}, {"onig_Lt", R"(\p{Lt})"}, {"onig_Lm", R"(\p{Lm})"},
           {"onig_Lo", R"(\p{Lo})"}, {"onig_Han", R"(\p{Han})"}, {"onig_Cn", R"(\p{Cn})"}, {"onig_Nd", R"(\p{Nd})"}}) {
    const PreTokenizerPlan removed = splitter(regex, "Removed", false);
    check_ranges(flags, name, ranges([&](char32_t c) { return pieces(removed, text_of(c)) == 0; }));
  }
}

TEST_CASE("split patterns of popular tokenizers cut the recorded pieces") {
  if (const auto folder = test::shared_path("goldens/tokenizers/regex")) compare_patterns(*folder, ".xz");
}

}  // namespace bigmodel::tokenizer
