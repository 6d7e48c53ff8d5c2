// SPDX-License-Identifier: Apache-2.0
// The classes: which tokens each has, and the pipeline that it builds around a vocabulary.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/tokenizer_class_parts.h"

namespace bigmodel::tokenizer {
namespace {

using namespace sections;
using Settings = PretrainedSettings;

constexpr std::string_view kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kClipWords = R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
// Nougat's class gives this pattern as a plain text, so that it is looked for as it stands.
constexpr std::string_view kNougatMarks = R"([\(\)\[\]\{\}]|([!\"#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*)";

const char* scheme_of(const Settings& s, const char* without = "never") { return s.flag("add_prefix_space", true) ? "always" : without; }

// BPE.

void build_llama(const Settings& s, const std::string&, Json& file) {
  const bool prefix = s.flag("add_prefix_space", true);
  file["model"] = bpe(nullptr, nullptr, true, true);
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = metaspace(!prefix ? "never" : s.flag("legacy", false) ? "always" : "first", false);
  file["decoder"] = llama_decoder(prefix);
}

void build_code_llama(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe(nullptr, nullptr, true, true, token_or_none(s, "unk_token"));
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = metaspace(s.flag("add_prefix_space", true) ? "first" : "never", false);
  file["decoder"] = llama_decoder(true);
}

void build_gemma(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe(nullptr, nullptr, true, true, token_or_none(s, "unk_token"));
  file["normalizer"] = replace(" ", kMark);
  file["pre_tokenizer"] = split("String", " ", "MergedWithPrevious");
  file["decoder"] = llama_decoder(false);
}

void build_siglip2(const Settings& s, const std::string& charsmap, Json& file) {
  build_gemma(s, charsmap, file);
  file["normalizer"] = sequence("normalizers", Json::array({{{"type", "Lowercase"}}, replace(" ", kMark)}));
}

void build_tipsv2(const Settings& s, const std::string& charsmap, Json& file) {
  Json steps = Json::array();
  if (s.flag("do_lower_case", true)) steps.push_back({{"type", "Lowercase"}});
  if (!charsmap.empty()) steps.push_back(precompiled(charsmap));
  file["model"] = bpe(nullptr, nullptr, true, true);
  file["normalizer"] = sequence("normalizers", std::move(steps));
  file["pre_tokenizer"] = sequence("pretokenizers", Json::array({{{"type", "WhitespaceSplit"}}, metaspace("always", true)}));
  file["decoder"] = sequence("decoders", Json::array({metaspace("always", true), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}}));
}

void build_byte_level(bool prefix, Json normalizer, Json& file) {
  file["model"] = bpe("", "", false, false);
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = byte_level(prefix, true);
  file["decoder"] = byte_level(true, true);
}
void build_gpt2(const Settings& s, const std::string&, Json& file) { build_byte_level(s.flag("add_prefix_space", false), nullptr, file); }
void build_blenderbot(const Settings& s, const std::string&, Json& file) { build_byte_level(s.flag("add_prefix_space", true), nullptr, file); }

void build_codegen(const Settings& s, const std::string& charsmap, Json& file) {
  build_gpt2(s, charsmap, file);
  if (file["post_processor"].is_null()) file["post_processor"] = byte_level(true, true, false);
}

void build_gpt_neox(const Settings& s, const std::string&, Json& file) {
  build_byte_level(false, {{"type", "NFC"}}, file);
  file["pre_tokenizer"] = byte_level(s.flag("add_prefix_space", false), true, s.flag("trim_offsets", true));
}

void build_cohere(const Settings& s, const std::string&, Json& file) {
  const bool prefix = s.flag("add_prefix_space", false);
  build_byte_level(prefix, {{"type", "NFC"}}, file);
  file["pre_tokenizer"] = sequence("pretokenizers", Json::array({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(prefix, true)}));
  file["decoder"] = byte_level(prefix, true);
}

void build_qwen(std::string_view words, const Settings& s, Json& file) {
  build_byte_level(false, {{"type", "NFC"}}, file);
  file["pre_tokenizer"] =
      sequence("pretokenizers", Json::array({split("Regex", words, "Isolated"), byte_level(s.flag("add_prefix_space", false), false)}));
}
void build_qwen2(const Settings& s, const std::string&, Json& file) { build_qwen(kQwen2Words, s, file); }
void build_qwen3_5(const Settings& s, const std::string&, Json& file) { build_qwen(kQwen35Words, s, file); }

void build_nougat(const Settings&, const std::string&, Json& file) {
  build_byte_level(false, {{"type", "NFKC"}}, file);
  file["pre_tokenizer"] = sequence("pretokenizers", Json::array({split("String", "SPL1T-TH1S-Pl3A5E", "Removed"), {{"type", "Digits"}, {"individual_digits", true}},
                                                                 split("String", kNougatMarks, "Isolated"), split("String", "\n", "Isolated"), byte_level(false, true)}));
}

void build_clip(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe("", "</w>", false, false, token_or_none(s, "unk_token"));
  file["normalizer"] = sequence("normalizers", Json::array({{{"type", "NFC"}}, replace_regex(R"(\s+)", " "), {{"type", "Lowercase"}}}));
  file["pre_tokenizer"] = sequence("pretokenizers", Json::array({split("Regex", kClipWords, "Removed", true), byte_level(false, true)}));
  file["decoder"] = byte_level(true, true);
}

void build_word_ends(const Settings& s, Json normalizer, Json& file) {
  file["model"] = bpe(nullptr, "</w>", false, false, token_or_none(s, "unk_token"));
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  file["decoder"] = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
}
void build_openai_gpt(const Settings& s, const std::string&, Json& file) {
  build_word_ends(s, bert_normalizer(true, true, nullptr, true), file);
  file["model"]["continuing_subword_prefix"] = "";
}
void build_herbert(const Settings& s, const std::string&, Json& file) { build_word_ends(s, bert_normalizer(true, true, false, false), file); }

void build_marks(const Settings& s, Json normalizer, const char* scheme, Json& file) {
  file["model"] = bpe(nullptr, nullptr, true, false, token_or_none(s, "unk_token"));
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = metaspace(scheme, true);
  file["decoder"] = metaspace(scheme, true);
}

void build_nllb(const Settings& s, const std::string& charsmap, Json& file) {
  Json normalizer = charsmap.empty() ? Json(nullptr) : sequence("normalizers", Json::array({precompiled(charsmap), replace_regex(" {2,}", " ")}));
  build_marks(s, std::move(normalizer), "always", file);
}

void build_seamless(const Settings& s, const std::string&, Json& file) {
  build_marks(s, sequence("normalizers", Json::array({replace_regex(R"([\n\r\t])", " "), {{"type", "NFKC"}}, strip(false, true), replace_regex(fmt::format(" +{}", kMark), kMark),
                                                      replace_regex(fmt::format("^{}+$", kMark), ""), replace_regex(" {2,}", kMark)})),
              "first", file);
}

// The vocabulary is the class's own: residues of proteins.
void build_esmc(const Settings& s, const std::string&, Json& file) {
  Json vocabulary = Json::object();
  std::uint32_t id = 0;
  for (const char* token : {"<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K", "Q", "N", "F", "Y", "M", "H", "W", "C",
                            "X", "B", "U", "Z", "O", ".", "-", "|", "<mask>"}) {
    vocabulary[token] = id++;
  }
  file["model"] = bpe(nullptr, nullptr, false, false, token_or_none(s, "unk_token"));
  file["model"]["vocab"] = std::move(vocabulary);
  file["model"]["merges"] = Json::array();
  for (const char* section : {"normalizer", "pre_tokenizer", "decoder"}) file[section] = nullptr;
}

// WordPiece.

void build_words(const Settings& s, bool clean, std::string_view prefix, Json& file) {
  file["model"] = word_piece(s);
  file["normalizer"] = bert_normalizer(clean, s.flag("tokenize_chinese_chars", true), s.is_flag("strip_accents") ? Json(s.flag("strip_accents", false)) : Json(nullptr),
                                       s.flag("do_lower_case", true));
  file["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  file["decoder"] = {{"type", "WordPiece"}, {"prefix", prefix}, {"cleanup", true}};
}
void build_bert(const Settings& s, const std::string&, Json& file) { build_words(s, true, "##", file); }
// These keep do_lower_case to themselves, so that it changes nothing.
void build_dpr(const Settings& s, const std::string&, Json& file) {
  build_words(s, true, "##", file);
  file["normalizer"]["lowercase"] = true;
}
void build_funnel(const Settings& s, const std::string&, Json& file) { build_words(s, s.flag("clean_text", true), s.text("wordpieces_prefix", "##"), file); }

// Unigram.

/// The unknown token's place by its text, `otherwise` where it has none (-1: refused); `scoreless`: only where its score is 0.
Json unk_by_text(const Settings& s, std::int64_t otherwise, bool scoreless) {
  return {{"token", token_or_none(s, "unk_token")}, {"scoreless", scoreless}, {"otherwise", otherwise}};
}

void build_pieces(Json unk_id, Json normalizer, bool splits_at_blanks, const char* scheme, Json& file) {
  file["model"] = unigram(std::move(unk_id));
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = splits_at_blanks ? sequence("pretokenizers", Json::array({{{"type", "WhitespaceSplit"}}, metaspace(scheme, true)})) : metaspace(scheme, true);
  file["decoder"] = metaspace(scheme, true);
}

Json with_charsmap(const std::string& charsmap, Json step) {
  Json steps = Json::array({std::move(step)});
  if (!charsmap.empty()) steps.insert(steps.begin(), precompiled(charsmap));
  return sequence("normalizers", std::move(steps));
}

void build_t5(const Settings&, const std::string& charsmap, Json& file) { build_pieces(2U, precompiled(charsmap), true, "always", file); }
void build_lasr(const Settings&, const std::string& charsmap, Json& file) { build_pieces(3U, precompiled(charsmap), true, "always", file); }
void build_mbart(const Settings&, const std::string&, Json& file) { build_pieces(3U, nullptr, true, "always", file); }
void build_udop(const Settings& s, const std::string&, Json& file) { build_pieces(unk_by_text(s, 2, false), nullptr, true, "always", file); }
void build_xlm_roberta(const Settings& s, const std::string& charsmap, Json& file) { build_pieces(3U, precompiled(charsmap), true, scheme_of(s), file); }
void build_camembert(const Settings& s, const std::string& charsmap, Json& file) { build_pieces(unk_by_text(s, 0, false), precompiled(charsmap), true, scheme_of(s), file); }
void build_xglm(const Settings& s, const std::string& charsmap, Json& file) { build_pieces(3U, with_charsmap(charsmap, replace_regex(" {2,}", " ")), false, scheme_of(s), file); }
void build_mbart50(const Settings&, const std::string& charsmap, Json& file) { build_pieces(3U, with_charsmap(charsmap, replace_regex(" {2,}", " ")), false, "always", file); }
void build_mluke(const Settings&, const std::string&, Json& file) {
  build_pieces(0U, sequence("normalizers", Json::array({replace("``", "\""), replace("''", "\"")})), false, "always", file);
}
void build_layoutxlm(const Settings& s, const std::string&, Json& file) {
  build_pieces(3U, sequence("normalizers", Json::array({strip(false, true), replace_regex(" {2,}", kMark)})), false, scheme_of(s), file);
}
void build_big_bird(const Settings& s, const std::string&, Json& file) {
  build_pieces(unk_by_text(s, 100, true), sequence("normalizers", Json::array({strip(false, false), replace_regex(" {2,}", kMark)})), false, scheme_of(s), file);
}

void build_pegasus(const Settings& s, const std::string& charsmap, Json& file) {
  const Json blanks = replace_regex(" {2,}", " ");
  Json normalizer = charsmap.empty() ? sequence("normalizers", Json::array({replace_regex(R"(\n)", " "), blanks})) : with_charsmap(charsmap, blanks);
  build_pieces(unk_by_text(s, -1, true), std::move(normalizer), false, "always", file);
}

Json one_line_normalizer(bool lower) {
  Json steps = Json::array({replace_regex(R"(\s{2,}|[\n\r\t])", " "), {{"type", "NFC"}}, strip(false, true)});
  if (lower) steps.insert(steps.begin(), Json::object({{"type", "Lowercase"}}));
  return sequence("normalizers", std::move(steps));
}
void build_barthez(const Settings& s, const std::string&, Json& file) { build_pieces(3U, one_line_normalizer(false), false, scheme_of(s), file); }
void build_deberta_v2(const Settings& s, const std::string&, Json& file) {
  const char* scheme = scheme_of(s, "first");
  build_pieces(unk_by_text(s, s.number("unk_id", 1), true), one_line_normalizer(s.flag("do_lower_case", false)), false, scheme, file);
  Json steps = Json::array({metaspace(scheme, true)});
  if (s.flag("split_by_punct", false)) steps.insert(steps.begin(), Json::object({{"type", "Punctuation"}, {"behavior", "Isolated"}}));
  file["pre_tokenizer"] = sequence("pretokenizers", std::move(steps));
}

/// Quotes of TeX, then what the switches say.
Json quotes_normalizer(bool blanks, bool accents, bool lower, const std::string& charsmap) {
  Json steps = Json::array({replace("``", "\""), replace("''", "\"")});
  if (blanks) steps.push_back(replace_regex(" {2,}", " "));
  if (!accents) {
    steps.push_back({{"type", "NFKD"}});
    steps.push_back({{"type", "StripAccents"}});
  }
  if (lower) steps.push_back({{"type", "Lowercase"}});
  if (!charsmap.empty()) steps.push_back(precompiled(charsmap));
  return sequence("normalizers", std::move(steps));
}
void build_albert(const Settings& s, const std::string& charsmap, Json& file) {
  build_pieces(1U, quotes_normalizer(false, s.flag("keep_accents", false), s.flag("do_lower_case", true), charsmap), true, scheme_of(s), file);
}
void build_rembert(const Settings& s, const std::string& charsmap, Json& file) {
  build_pieces(2U, quotes_normalizer(true, s.flag("keep_accents", true), s.flag("do_lower_case", false), charsmap), false, scheme_of(s), file);
}
void build_xlnet(const Settings& s, const std::string& charsmap, Json& file) {
  const std::int64_t unk = s.number("unk_id", 0);
  build_pieces(unk < 0 ? Json(unk) : Json(static_cast<std::uint64_t>(unk)), quotes_normalizer(false, false, s.flag("do_lower_case", false), charsmap), true, "always", file);
}

// Special tokens without a name. Where the files list some, no class adds its own, but for Luke's.

NamedToken extra(std::string text) { return {"", AddedToken{.content = std::move(text), .normalized = false, .special = true}, true}; }
bool has_extra(const Settings& s, std::string_view text) {
  return std::ranges::any_of(s.extra, [&](const NamedToken& t) { return t.token && t.token->content == text; });
}
void add_extra(Settings& s, std::string_view text) { s.extra.push_back(extra(std::string(text))); }
void add_absent(Settings& s, std::string_view text) {
  if (!has_extra(s, text)) add_extra(s, text);
}

void extra_ids(Settings& s) {
  if (s.lists_extra) return;
  const int wanted = extra_id_count(s);
  const auto given = std::ranges::count_if(s.extra, [](const NamedToken& t) { return t.token && t.token->content.find("<extra_id_") != std::string::npos; });
  if (given == 0) {
    for (int i = 0; i < wanted; ++i) add_extra(s, fmt::format("<extra_id_{}>", i));
  } else if (wanted > 0 && given != wanted) {
    throw FormatError(fmt::format("tokenizer_config.json: extra_ids is {}, but there are {} of them among the additional special tokens", wanted, given));
  }
}
void camembert_extras(Settings& s) {
  if (s.lists_extra || !s.extra.empty()) return;
  for (const char* text : {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"}) add_extra(s, text);
}
void xlnet_extras(Settings& s) {
  if (s.lists_extra || !s.extra.empty()) return;
  for (const char* text : {"<eop>", "<eod>"}) add_extra(s, text);
}
void xglm_extras(Settings& s) {
  if (s.lists_extra) return;
  for (int i = 0; i < 7; ++i) add_absent(s, fmt::format("<madeupword{}>", i));
}
void mbart_extras(Settings& s) {
  if (s.lists_extra) return;
  const std::vector<NamedToken> given = std::exchange(s.extra, {});
  for (const std::string_view text : mbart_languages()) add_extra(s, text);
  for (const NamedToken& token : given) {
    if (!has_extra(s, token.token->content)) s.extra.push_back(token);
  }
}
void mbart50_extras(Settings& s) {
  if (s.lists_extra) return;
  for (const std::string_view text : mbart50_languages()) add_extra(s, text);
}
void nllb_extras(Settings& s) {
  if (s.lists_extra || !s.extra.empty()) return;
  for (const std::string_view text : nllb_languages()) add_extra(s, text);
}
void pegasus_extras(Settings& s) {
  if (s.lists_extra) return;
  constexpr std::int64_t kMost = 100'000;
  const std::int64_t offset = s.number("offset", 103);
  if (offset > kMost) throw CapacityError(fmt::format("tokenizer_config.json, offset: expected at most {}, got {}", kMost, offset));
  const std::string sentence = s.text("mask_token_sent", "<mask_1>");
  const bool named = has_extra(s, sentence);
  s.extra.clear();
  if (!named) add_extra(s, sentence);
  for (std::int64_t i = 2; i < offset; ++i) add_extra(s, fmt::format("<unk_{}>", i));
}

/// Entities in a text are looked for after normalization, as tokens made without flags are.
void entity_extras(Settings& s, std::string_view before) {
  for (const char* name : {"<ent>", "<ent2>"}) {
    const std::string text = std::string(before) + name;
    if (!has_extra(s, text)) s.extra.push_back({"", AddedToken{.content = text}, false});
  }
}
void luke_extras(Settings& s) { entity_extras(s, ""); }
void mluke_extras(Settings& s) {
  entity_extras(s, kMark);
  for (const char* text : {"[UNK]", "[PAD]", "[MASK]", "[MASK2]"}) add_absent(s, text);
}

using Post = PostProcessing;
using Tokens = std::vector<std::pair<std::string_view, std::string_view>>;

std::map<std::string_view, KnownClass> all_classes() {
  std::map<std::string_view, KnownClass> out;
  const Tokens bert{{"unk_token", "[UNK]"}, {"sep_token", "[SEP]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
  const Tokens roberta{{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "</s>"}, {"pad_token", "<pad>"}, {"cls_token", "<s>"}, {"mask_token", "<mask>"}};
  const Tokens gpt2{{"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};
  const Tokens qwen{{"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
  const Tokens llama{{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  const Tokens gemma{{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"mask_token", "<mask>"}};
  const Tokens t5{{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
  const Tokens albert{{"bos_token", "[CLS]"}, {"eos_token", "[SEP]"}, {"unk_token", "<unk>"}, {"sep_token", "[SEP]"}, {"pad_token", "<pad>"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
  const Tokens deberta{{"bos_token", "[CLS]"}, {"eos_token", "[SEP]"}, {"unk_token", "[UNK]"}, {"sep_token", "[SEP]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
  const auto with = [](Tokens tokens, const Tokens& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
  };
  const auto changed = [](Tokens tokens, std::string_view name, std::string_view text) {
    for (auto& token : tokens) {
      if (token.first == name) token.second = text;
    }
    return tokens;
  };
  const auto entities = [](std::string_view one, std::string_view two) {
    return Tokens{{"entity_1_token", one}, {"entity_2_token", two}, {"entity_unk_token", "[UNK]"}, {"entity_pad_token", "[PAD]"}, {"entity_mask_token", "[MASK]"}, {"entity_mask2_token", "[MASK2]"}};
  };
  const std::vector<std::string> cls_single{"cls_token", "$A", "sep_token"};
  const std::vector<std::string> cls_pair{"cls_token", "$A", "sep_token", "$B:1", "sep_token:1"};
  const std::vector<std::string> cls_double_pair{"cls_token", "$A", "sep_token", "sep_token", "$B", "sep_token"};
  const std::vector<std::string> bos_single{"bos_token", "$A", "eos_token"};
  const std::vector<std::string> bos_double_pair{"bos_token", "$A", "eos_token", "eos_token", "$B", "eos_token"};
  const std::vector<std::string> eos_single{"$A", "eos_token"}, eos_both{"$A", "eos_token", "$B", "eos_token"};
  const std::vector<std::string_view> mask{"mask_token"};

  // BPE.
  out["LlamaTokenizer"] = {{.model = "BPE", .tokens = llama, .pads_left = true}, build_llama};
  out["CodeLlamaTokenizer"] = {{.model = "BPE",
                                .tokens = with(llama, {{"prefix_token", "\xE2\x96\x81<PRE>"}, {"middle_token", "\xE2\x96\x81<MID>"}, {"suffix_token", "\xE2\x96\x81<SUF>"},
                                                       {"eot_token", "\xE2\x96\x81<EOT>"}, {"fill_token", "<FILL_ME>"}}),
                                .pads_left = true,
                                .post_processing = Post::bos_eos,
                                .adds_bos = true},
                               build_code_llama};
  out["GemmaTokenizer"] = {{.model = "BPE", .tokens = gemma, .pads_left = true}, build_gemma};
  out["Siglip2Tokenizer"] = {{.model = "BPE", .tokens = gemma, .pads_left = true}, build_siglip2};
  out["Tipsv2Tokenizer"] = {{.model = "BPE", .tokens = {{"unk_token", "<unk>"}, {"pad_token", "<pad>"}}}, build_tipsv2};
  out["CohereTokenizer"] = {{.model = "BPE",
                             .tokens = {{"bos_token", "<BOS_TOKEN>"}, {"eos_token", "<|END_OF_TURN_TOKEN|>"}, {"unk_token", "<UNK>"}, {"sep_token", "<SEP>"},
                                        {"pad_token", "<PAD>"}, {"cls_token", "<CLS>"}, {"mask_token", "<MASK_TOKEN>"}},
                             .pads_left = true,
                             .specials = Readded::as_named},
                            build_cohere};
  out["GPT2Tokenizer"] = {{.model = "BPE", .tokens = gpt2}, build_gpt2};
  out["CodeGenTokenizer"] = {{.model = "BPE", .tokens = gpt2}, build_codegen};
  out["WhisperTokenizer"] = {{.model = "BPE", .tokens = gpt2, .post_processing = Post::own, .decoding = Decoding::no_timestamps}, build_gpt2, nullptr, post_whisper};
  out["GPTNeoXTokenizer"] = {{.model = "BPE", .tokens = with(gpt2, {{"pad_token", "<|padding|>"}}), .post_processing = Post::bos_eos}, build_gpt_neox};
  out["Qwen2Tokenizer"] = {{.model = "BPE", .tokens = qwen, .specials = Readded::bare}, build_qwen2};
  out["Qwen3_5Tokenizer"] = {{.model = "BPE", .tokens = qwen}, build_qwen3_5};
  out["RobertaTokenizer"] = {{.model = "BPE", .tokens = roberta, .post_processing = Post::own}, build_gpt2, nullptr, post_roberta};
  out["BlenderbotTokenizer"] = {{.model = "BPE", .tokens = roberta, .lstrip_mask = true}, build_blenderbot};
  out["LayoutLMv3Tokenizer"] = {{.model = "BPE", .tokens = roberta, .post_processing = Post::own}, build_blenderbot, nullptr, post_layoutlmv3};
  out["LukeTokenizer"] = {{.model = "BPE", .tokens = with(roberta, entities("<ent>", "<ent2>")), .post_processing = Post::own}, build_gpt2, luke_extras, post_luke};
  out["MarkupLMTokenizer"] = {{.model = "BPE",
                               .tokens = roberta,
                               .post_processing = Post::pieces,
                               .single = cls_single,
                               .pair = {"cls_token", "$A", "sep_token", "$B", "sep_token"},
                               .lstrip_mask = true},
                              build_gpt2};
  out["DebertaTokenizer"] = {{.model = "BPE", .tokens = deberta, .post_processing = Post::pieces, .single = cls_single, .pair = cls_double_pair}, build_gpt2};
  out["NougatTokenizer"] = {{.model = "BPE",
                             .tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}},
                             .post_processing = Post::pieces,
                             .single = bos_single,
                             .pair = {"$A", "$B:1"}},
                            build_nougat};
  out["CLIPTokenizer"] = {{.model = "BPE",
                           .tokens = {{"bos_token", "<|startoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}},
                           .post_processing = Post::own,
                           .decoding = Decoding::word_ends},
                          build_clip, nullptr, post_clip};
  out["OpenAIGPTTokenizer"] = {{.model = "BPE", .tokens = {{"unk_token", "<unk>"}}}, build_openai_gpt};
  out["HerbertTokenizer"] = {{.model = "BPE",
                              .tokens = {{"unk_token", "<unk>"}, {"sep_token", "</s>"}, {"pad_token", "<pad>"}, {"cls_token", "<s>"}, {"mask_token", "<mask>"}},
                              .post_processing = Post::own},
                             build_herbert, nullptr, post_herbert};
  out["NllbTokenizer"] = {{.model = "BPE", .tokens = roberta, .post_processing = Post::own, .normalized_mask = true, .lstrip_mask = true}, build_nllb, nllb_extras, post_nllb};
  out["ReformerTokenizer"] = {{.model = "BPE", .tokens = {{"eos_token", "</s>"}, {"unk_token", "<unk>"}}, .specials = Readded::as_named}, build_nllb};
  out["SeamlessM4TTokenizer"] = {{.model = "BPE",
                                  .tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "</s>"}, {"pad_token", "<pad>"}, {"cls_token", "<s>"}},
                                  .post_processing = Post::own},
                                 build_seamless, nullptr, post_seamless};
  out["EsmcTokenizer"] = {{.model = "BPE",
                           .tokens = {{"bos_token", "<cls>"}, {"eos_token", "<eos>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"cls_token", "<cls>"}, {"mask_token", "<mask>"}, {"chain_break_token", "|"}},
                           .post_processing = Post::pieces,
                           .single = {"cls_token", "$A", "eos_token"},
                           .pair = {"$A", "$B:1"}},
                          build_esmc};
  // Whatever the pipeline is, only decoding differs.
  out["ParakeetTokenizer"] = {{.model = "", .decoding = Decoding::ctc}};

  // WordPiece.
  out["BertTokenizer"] = {{.model = "WordPiece", .tokens = bert, .post_processing = Post::pieces, .single = cls_single, .pair = cls_pair}, build_bert};
  out["SplinterTokenizer"] = {{.model = "WordPiece", .tokens = with(bert, {{"question_token", "[QUESTION]"}}), .post_processing = Post::own}, build_bert, nullptr, post_splinter};
  out["FunnelTokenizer"] = {{.model = "WordPiece",
                             .tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "<sep>"}, {"pad_token", "<pad>"}, {"cls_token", "<cls>"}, {"mask_token", "<mask>"}},
                             .post_processing = Post::pieces,
                             .single = {"cls_token:2", "$A", "sep_token"},
                             .pair = {"cls_token:2", "$A", "sep_token", "$B:1", "sep_token:1"}},
                            build_funnel};
  out["MPNetTokenizer"] = {{.model = "WordPiece",
                            .tokens = changed(roberta, "unk_token", "[UNK]"),
                            .post_processing = Post::own,
                            .lstrip_mask = true},
                           build_bert, nullptr, post_mpnet};

  // Unigram.
  out["AlbertTokenizer"] = {{.model = "Unigram", .tokens = albert, .single = cls_single, .pair = cls_pair}, build_albert};
  out["RemBertTokenizer"] = {{.model = "Unigram", .tokens = albert, .post_processing = Post::over_the_files, .specials = Readded::as_named, .single = cls_single, .pair = cls_pair}, build_rembert};
  out["BigBirdTokenizer"] = {{.model = "Unigram",
                              .tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "[SEP]"}, {"pad_token", "<pad>"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}},
                              .post_processing = Post::pieces,
                              .single = cls_single,
                              .pair = cls_pair,
                              .lstrip_mask = true},
                             build_big_bird};
  out["DebertaV2Tokenizer"] = {{.model = "Unigram", .tokens = deberta, .post_processing = Post::pieces, .single = cls_single, .pair = cls_pair}, build_deberta_v2};
  out["XLNetTokenizer"] = {{.model = "Unigram",
                            .tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "<sep>"}, {"pad_token", "<pad>"}, {"cls_token", "<cls>"}, {"mask_token", "<mask>"}},
                            .pads_left = true,
                            .post_processing = Post::pieces,
                            .single = {"$A", "sep_token", "cls_token:2"},
                            .pair = {"$A", "sep_token", "$B:1", "sep_token:1", "cls_token:2"},
                            .lstrip_mask = true},
                           build_xlnet, xlnet_extras};
  out["T5Tokenizer"] = {{.model = "Unigram", .tokens = t5, .post_processing = Post::pieces, .single = eos_single, .pair = eos_both, .has_extra_ids = true}, build_t5, extra_ids};
  out["VideoPrismTokenizer"] = {{.model = "Unigram", .tokens = t5, .has_extra_ids = true}, build_t5, extra_ids};
  out["LasrTokenizer"] = {{.model = "Unigram", .tokens = t5, .post_processing = Post::pieces, .single = eos_single, .pair = eos_both, .decoding = Decoding::ctc}, build_lasr, extra_ids};
  out["UdopTokenizer"] = {{.model = "Unigram", .tokens = with(t5, {{"sep_token", "</s>"}}), .post_processing = Post::pieces, .single = eos_single, .pair = eos_both}, build_udop};
  out["PegasusTokenizer"] = {{.model = "Unigram",
                              .tokens = with(t5, {{"mask_token", "<mask_2>"}}),
                              .post_processing = Post::pieces,
                              .single = eos_single,
                              .pair = {"$A", "$B", "eos_token"}},
                             build_pegasus, pegasus_extras};
  out["XLMRobertaTokenizer"] = {{.model = "Unigram",
                                 .tokens = roberta,
                                 .post_processing = Post::pieces,
                                 .single = bos_single,
                                 .pair = bos_double_pair,
                                 .spm_drops = 3,
                                 .spm_first = {"bos_token", "pad_token", "eos_token", "unk_token"},
                                 .spm_last = mask},
                                build_xlm_roberta};
  out["CamembertTokenizer"] = {{.model = "Unigram",
                                .tokens = roberta,
                                .post_processing = Post::pieces,
                                .single = bos_single,
                                .pair = bos_double_pair,
                                .lstrip_mask = true,
                                .spm_drops = 1,
                                .spm_first = {"<s>NOTUSED", "pad_token", "</s>NOTUSED", "unk_token", "<unk>NOTUSED"},
                                .spm_last = mask},
                               build_camembert, camembert_extras};
  out["BarthezTokenizer"] = {{.model = "Unigram", .tokens = roberta, .lstrip_mask = true}, build_barthez};
  out["LayoutXLMTokenizer"] = {{.model = "Unigram", .tokens = roberta, .post_processing = Post::pieces, .single = cls_single, .pair = cls_double_pair, .lstrip_mask = true}, build_layoutxlm};
  out["XGLMTokenizer"] = {{.model = "Unigram",
                           .tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "</s>"}, {"pad_token", "<pad>"}, {"cls_token", "<s>"}},
                           .post_processing = Post::pieces,
                           .single = {"eos_token", "$A"},
                           .pair = {"eos_token", "$A", "eos_token", "eos_token", "$B"},
                           .spm_drops = 3,
                           .spm_first = {"bos_token", "pad_token", "eos_token", "unk_token"},
                           .spm_last = {"<mask>"}},
                          build_xglm, xglm_extras};
  out["MLukeTokenizer"] = {{.model = "Unigram",
                            .tokens = with(roberta, entities("\xE2\x96\x81<ent>", "\xE2\x96\x81<ent2>")),
                            .post_processing = Post::pieces,
                            .specials = Readded::as_named,
                            .single = cls_single,
                            .pair = {"cls_token", "$A", "sep_token", "sep_token", "$B:1", "sep_token:1"},
                            .lstrip_mask = true},
                           build_mluke, mluke_extras};
  const auto languages_behind = [&](std::span<const std::string_view> languages) {
    std::vector<std::string_view> last(languages.begin(), languages.end());
    last.push_back("mask_token");
    return last;
  };
  out["MBartTokenizer"] = {{.model = "Unigram",
                            .tokens = roberta,
                            .post_processing = Post::own,
                            .lstrip_mask = true,
                            .spm_drops = 3,
                            .spm_first = {"bos_token", "pad_token", "eos_token", "unk_token"},
                            .spm_last = languages_behind(mbart_languages())},
                           build_mbart, mbart_extras, post_mbart};
  out["MBart50Tokenizer"] = {{.model = "Unigram",
                              .tokens = {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "</s>"}, {"pad_token", "<pad>"}, {"cls_token", "<s>"}, {"mask_token", "<mask>"}},
                              .post_processing = Post::own,
                              .lstrip_mask = true,
                              .spm_drops = 3,
                              .spm_first = {"cls_token", "pad_token", "eos_token", "unk_token"},
                              .spm_last = languages_behind(mbart50_languages())},
                             build_mbart50, mbart50_extras, post_mbart50};
  // Of other names, or with constructors that change nothing here.
  for (const char* name : {"BartTokenizer", "LEDTokenizer", "MvpTokenizer"}) out[name] = out["RobertaTokenizer"];
  for (const char* name : {"DistilBertTokenizer", "LayoutLMv2Tokenizer", "LxmertTokenizer",
                           "MobileBertTokenizer", "SqueezeBertTokenizer"}) {
    out[name] = out["BertTokenizer"];
  }
  for (const char* name : {"DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer", "DPRReaderTokenizer"}) {
    out[name] = out["BertTokenizer"];
    out[name].build = build_dpr;
  }
  // Without a constructor of their own, so that a file's pipeline stays; what the parent's constructor does at its end still counts.
  out["ConvBertTokenizer"] = out["BertTokenizer"];
  out["FNetTokenizer"] = {{.model = "Unigram", .tokens = albert}, build_albert};
  for (const char* name : {"ConvBertTokenizer", "FNetTokenizer"}) out[name].pipeline.keeps_file = true;
  return out;
}

}  // namespace

const KnownClass* known_class(std::string_view name) {
  static const std::map<std::string_view, KnownClass> kClasses = all_classes();
  const auto it = kClasses.find(name);
  return it == kClasses.end() ? nullptr : &it->second;
}

}  // namespace bigmodel::tokenizer
