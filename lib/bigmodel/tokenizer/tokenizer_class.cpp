// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/tokenizer_class.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/io/mapped_file.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;
using Settings = PretrainedSettings;

constexpr std::string_view kMetaspace = "\xE2\x96\x81";
constexpr std::string_view kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Classes that AutoTokenizer takes for a model type. Types without a row, or of classes that keep a tokenizer.json as it is: the
/// general one.
struct ModelTypes {
  std::string_view class_name;
  std::vector<std::string_view> types;
};

const std::vector<ModelTypes>& registered() {
  static const std::vector<ModelTypes> kRows = {
      {"AlbertTokenizer", {"albert", "yoso"}},
      {"BertTokenizer",
       {"align",    "bark",   "bert",           "blip",     "bros",           "chinese_clip",       "convbert",  "distilbert", "electra",
        "ernie",    "flava",  "git",            "grounding-dino", "layoutlm", "megatron-bert",      "mm-grounding-dino", "nezha",  "nomic_bert",
        "qdqbert",  "realm",  "retribert",      "squeezebert", "tvp",         "vilt",               "visual_bert"}},
      {"CodeLlamaTokenizer", {"code_llama"}},
      {"CohereTokenizer", {"aya_vision", "cohere", "cohere2"}},
      {"GPT2Tokenizer",
       {"blip-2", "codegen", "dbrx", "emu3", "gpt2", "gpt_neo", "gptj", "hyperclovax_vision_v2", "instructblip", "instructblipvideo", "jais2",
        "opt", "phi", "starcoder2"}},
      {"GPTNeoXTokenizer", {"falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmoe", "rwkv", "xlstm"}},
      {"GemmaTokenizer",
       {"diffusion_gemma", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "recurrent_gemma", "shieldgemma2",
        "t5gemma", "zaya"}},
      {"LlamaTokenizer", {"idefics", "idefics2"}},
      {"Qwen2Tokenizer",
       {"audioflamingo3", "colqwen2", "cosmos3_omni", "dots3_note", "fun_asr_nano", "hunyuan_vl", "internvl", "lighton_ocr",
        "moss_transcribe_diarize", "ovis2", "qianfan_ocr", "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_audio", "qwen2_moe", "qwen2_vl",
        "qwen3", "qwen3_asr", "qwen3_moe", "qwen3_next", "qwen3_omni_moe", "qwen3_vl", "qwen3_vl_moe", "vibevoice"}},
      {"Qwen3_5Tokenizer", {"qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen4_exp"}},
      {"RobertaTokenizer",
       {"bart", "bridgetower", "clap", "data2vec-text", "ibert", "lilt", "longformer", "mega", "mra", "roberta", "roberta-prelayernorm"}},
      {"T5Tokenizer", {"mt5", "musicgen", "musicgen_melody", "switch_transformers", "t5"}},
      {"XLMRobertaTokenizer", {"gte", "jina_embeddings_v3", "metaclip_2", "trocr", "xlm-roberta", "xmod"}},
      // The general class whatever the files say.
      {"TokenizersBackend",
       {"EvollaModel", "aria", "arctic", "beam", "bigbird_pegasus", "camembertv2-base", "canary", "chatlm", "cohere_asr", "ernie4_5",
        "ernie4_5_moe", "flex_olmo", "fuyu", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "glm4v", "glm4v_moe", "glm_image", "glmasr",
        "got_ocr2", "gpt_bigcode", "gradium_phonon_tts", "granite", "granitemoe", "granitemoehybrid", "granitemoeshared", "h2ovl_chat",
        "hyperclovax", "hyperclovax_vlm", "internlm2", "internlm3", "iquestcoder", "jamba", "kimi_k25", "kimi_linear", "kosmos-2", "llava",
        "llava_next", "mimo_v2_flash", "minicpm3", "minicpm_ocr", "minicpmv", "minicpmv4_6", "minicpmv4_7", "minimax_m2", "ministral",
        "ministral3", "mistral", "mistral3", "mistral_large4", "mixtral", "modernbert", "modernbert-decoder", "molmo", "molmo2",
        "nemo_speechlm", "nemotron", "nvfp4", "nystromformer", "olmo2", "olmo3", "olmo_hybrid", "opencua", "openvla", "paddleocr_vl",
        "pegasus_x", "persimmon", "phi3", "phi3_v", "phimoe", "pix2struct", "pixtral", "pocket_tts", "smolvlm", "stablelm", "step3_vl",
        "umt5", "vipllava", "voxtral", "voxtral_realtime", "xlm-roberta-xl"}},
  };
  return kRows;
}

/// Types whose published files name a wrong class, so that the registered one is taken. Those of the general class are above.
constexpr std::array<std::string_view, 6> kRegisteredWins{"hyperclovax_vision_v2", "qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen4_exp"};

Json bpe(const char* affixes, bool fuse_unk, bool byte_fallback, Json unk = nullptr) {
  const Json affix = affixes == nullptr ? Json(nullptr) : Json(affixes);
  return {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", std::move(unk)}, {"continuing_subword_prefix", affix}, {"end_of_word_suffix", affix},
          {"fuse_unk", fuse_unk}, {"byte_fallback", byte_fallback}, {"ignore_merges", false}};
}

Json sequence(const char* key, Json steps) { return {{"type", "Sequence"}, {key, std::move(steps)}}; }

Json byte_level(bool prefix, bool regex, bool trim = true) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", trim}, {"use_regex", regex}};
}

Json replace(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json metaspace(const char* scheme, bool split) {
  return {{"type", "Metaspace"}, {"replacement", kMetaspace}, {"prepend_scheme", scheme}, {"split", split}};
}

Json split(std::string_view kind, std::string_view pattern, const char* behavior) {
  return {{"type", "Split"}, {"pattern", {{kind, pattern}}}, {"behavior", behavior}, {"invert", false}};
}

Json llama_decoder(bool strip) {
  Json steps = Json::array({replace(kMetaspace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (strip) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1U}, {"stop", 0U}});
  return sequence("decoders", std::move(steps));
}

Json precompiled(const std::string& charsmap) {
  return charsmap.empty() ? Json(nullptr) : Json{{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}};
}

Json token_or_null(const Settings& settings, std::string_view name) {
  const NamedToken* token = settings.find(name);
  // Python's str(None) where the files say null.
  return token != nullptr && token->token ? Json(token->token->content) : Json("None");
}

void build_llama(const Settings& s, const std::string&, Json& file) {
  const bool prefix = s.add_prefix_space.value_or(true);
  file["model"] = bpe(nullptr, true, true);
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = metaspace(!prefix ? "never" : s.legacy.value_or(false) ? "always" : "first", false);
  file["decoder"] = llama_decoder(prefix);
}

void build_code_llama(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe(nullptr, true, true, token_or_null(s, "unk_token"));
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = metaspace(s.add_prefix_space.value_or(true) ? "first" : "never", false);
  file["decoder"] = llama_decoder(true);
}

void build_gemma(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe(nullptr, true, true, token_or_null(s, "unk_token"));
  file["normalizer"] = replace(" ", kMetaspace);
  file["pre_tokenizer"] = split("String", " ", "MergedWithPrevious");
  file["decoder"] = llama_decoder(false);
}

void build_gpt2(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe("", false, false);
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = byte_level(s.add_prefix_space.value_or(false), true);
  file["decoder"] = byte_level(true, true);
}

void build_gpt_neox(const Settings& s, const std::string&, Json& file) {
  file["model"] = bpe("", false, false);
  file["normalizer"] = {{"type", "NFC"}};
  file["pre_tokenizer"] = byte_level(s.add_prefix_space.value_or(false), true, s.trim_offsets.value_or(true));
  file["decoder"] = byte_level(true, true);
}

void build_cohere(const Settings& s, const std::string&, Json& file) {
  const bool prefix = s.add_prefix_space.value_or(false);
  file["model"] = bpe("", false, false);
  file["normalizer"] = {{"type", "NFC"}};
  file["pre_tokenizer"] = sequence("pretokenizers", Json::array({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(prefix, true)}));
  file["decoder"] = byte_level(prefix, true);
}

void build_qwen(std::string_view words, const Settings& s, Json& file) {
  file["model"] = bpe("", false, false);
  file["normalizer"] = {{"type", "NFC"}};
  file["pre_tokenizer"] =
      sequence("pretokenizers", Json::array({split("Regex", words, "Isolated"), byte_level(s.add_prefix_space.value_or(false), false)}));
  file["decoder"] = byte_level(true, true);
}
void build_qwen2(const Settings& s, const std::string&, Json& file) { build_qwen(kQwen2Words, s, file); }
void build_qwen3_5(const Settings& s, const std::string&, Json& file) { build_qwen(kQwen35Words, s, file); }

void build_bert(const Settings& s, const std::string&, Json& file) {
  file["model"] = {{"type", "WordPiece"}, {"unk_token", token_or_null(s, "unk_token")}, {"continuing_subword_prefix", "##"}, {"max_input_chars_per_word", 100U}};
  file["normalizer"] = {{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", s.tokenize_chinese_chars.value_or(true)},
                        {"strip_accents", s.strip_accents ? Json(*s.strip_accents) : Json(nullptr)},
                        {"lowercase", s.do_lower_case.value_or(true)}};
  file["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  file["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
}

void build_unigram(const char* scheme, unsigned unk_id, Json normalizer, Json& file) {
  file["model"] = {{"type", "Unigram"}, {"unk_id", unk_id}, {"byte_fallback", false}};
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = sequence("pretokenizers", Json::array({{{"type", "WhitespaceSplit"}}, metaspace(scheme, true)}));
  file["decoder"] = metaspace(scheme, true);
}
const char* scheme_of(const Settings& s) { return s.add_prefix_space.value_or(true) ? "always" : "never"; }

void build_t5(const Settings&, const std::string& charsmap, Json& file) { build_unigram("always", 2U, precompiled(charsmap), file); }
void build_xlm_roberta(const Settings& s, const std::string& charsmap, Json& file) { build_unigram(scheme_of(s), 3U, precompiled(charsmap), file); }

void build_albert(const Settings& s, const std::string& charsmap, Json& file) {
  Json steps = Json::array({replace("``", "\""), replace("''", "\"")});
  if (!s.keep_accents.value_or(false)) {
    steps.push_back({{"type", "NFKD"}});
    steps.push_back({{"type", "StripAccents"}});
  }
  if (s.do_lower_case.value_or(true)) steps.push_back({{"type", "Lowercase"}});
  if (!charsmap.empty()) steps.push_back(precompiled(charsmap));
  build_unigram(scheme_of(s), 1U, sequence("normalizers", std::move(steps)), file);
}

struct KnownClass {
  ClassPipeline pipeline;
  void (*build)(const Settings&, const std::string&, Json&);
};

using Post = PostProcessing;

const std::map<std::string_view, KnownClass>& known_classes() {
  static const std::map<std::string_view, KnownClass> kClasses = [] {
    std::map<std::string_view, KnownClass> out;
    const std::vector<std::pair<std::string_view, std::string_view>> bert{
        {"unk_token", "[UNK]"}, {"sep_token", "[SEP]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
    const std::vector<std::pair<std::string_view, std::string_view>> roberta{{"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},
                                                                             {"sep_token", "</s>"},  {"pad_token", "<pad>"}, {"cls_token", "<s>"},
                                                                             {"mask_token", "<mask>"}};
    const std::vector<std::pair<std::string_view, std::string_view>> gpt2{
        {"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};
    auto neox = gpt2;
    neox.emplace_back("pad_token", "<|padding|>");
    const std::vector<std::pair<std::string_view, std::string_view>> qwen{
        {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
    const std::vector<std::pair<std::string_view, std::string_view>> llama{{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
    auto code_llama = llama;
    for (const auto& [name, text] : {std::pair{"prefix_token", "\xE2\x96\x81<PRE>"}, {"middle_token", "\xE2\x96\x81<MID>"}, {"suffix_token", "\xE2\x96\x81<SUF>"},
                                     {"eot_token", "\xE2\x96\x81<EOT>"}, {"fill_token", "<FILL_ME>"}}) {
      code_llama.emplace_back(name, text);
    }
    out["LlamaTokenizer"] = {{.model = "BPE", .tokens = llama, .pads_left = true}, build_llama};
    out["CodeLlamaTokenizer"] = {{.model = "BPE", .tokens = code_llama, .pads_left = true, .post_processing = Post::bos_eos, .adds_bos = true}, build_code_llama};
    out["GemmaTokenizer"] = {{.model = "BPE",
                              .tokens = {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"mask_token", "<mask>"}},
                              .pads_left = true},
                             build_gemma};
    out["CohereTokenizer"] = {{.model = "BPE",
                               .tokens = {{"bos_token", "<BOS_TOKEN>"}, {"eos_token", "<|END_OF_TURN_TOKEN|>"}, {"unk_token", "<UNK>"}, {"sep_token", "<SEP>"},
                                          {"pad_token", "<PAD>"}, {"cls_token", "<CLS>"}, {"mask_token", "<MASK_TOKEN>"}},
                               .pads_left = true,
                               .specials = Readded::as_named},
                              build_cohere};
    out["GPT2Tokenizer"] = {{.model = "BPE", .tokens = gpt2}, build_gpt2};
    out["GPTNeoXTokenizer"] = {{.model = "BPE", .tokens = neox, .post_processing = Post::bos_eos}, build_gpt_neox};
    out["Qwen2Tokenizer"] = {{.model = "BPE", .tokens = qwen, .specials = Readded::bare}, build_qwen2};
    out["Qwen3_5Tokenizer"] = {{.model = "BPE", .tokens = qwen}, build_qwen3_5};
    out["RobertaTokenizer"] = {{.model = "BPE", .tokens = roberta, .post_processing = Post::roberta}, build_gpt2};
    out["BertTokenizer"] = {{.model = "WordPiece",
                             .tokens = bert,
                             .post_processing = Post::pieces,
                             .single = {"cls_token", "$A", "sep_token"},
                             .pair = {"cls_token", "$A", "sep_token", "$B:1", "sep_token:1"}},
                            build_bert};
    out["AlbertTokenizer"] = {{.model = "Unigram",
                               .tokens = {{"bos_token", "[CLS]"}, {"eos_token", "[SEP]"}, {"unk_token", "<unk>"}, {"sep_token", "[SEP]"},
                                          {"pad_token", "<pad>"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}},
                               .single = {"cls_token", "$A", "sep_token"},
                               .pair = {"cls_token", "$A", "sep_token", "$B:1", "sep_token:1"}},
                              build_albert};
    out["T5Tokenizer"] = {{.model = "Unigram",
                           .tokens = {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}},
                           .post_processing = Post::pieces,
                           .single = {"$A", "eos_token"},
                           .pair = {"$A", "eos_token", "$B", "eos_token"},
                           .extra_ids = 100},
                          build_t5};
    out["XLMRobertaTokenizer"] = {{.model = "Unigram",
                                   .tokens = roberta,
                                   .post_processing = Post::pieces,
                                   .single = {"bos_token", "$A", "eos_token"},
                                   .pair = {"bos_token", "$A", "eos_token", "eos_token", "$B", "eos_token"},
                                   .spm_drops = 3,
                                   .spm_first = {"bos_token", "pad_token", "eos_token", "unk_token"},
                                   .spm_last = {"mask_token"}},
                                  build_xlm_roberta};
    return out;
  }();
  return kClasses;
}

/// The reference's own test, a search for the word.
bool names_byte_level(const std::filesystem::path& tokenizer_json) {
  if (!std::filesystem::exists(tokenizer_json)) return false;
  const MappedFile file(tokenizer_json);
  const auto bytes = file.bytes();
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).find("\"ByteLevel\"") != std::string_view::npos;
}

}  // namespace

std::string_view choose_tokenizer_class(const PretrainedSettings& settings, const std::filesystem::path& folder) {
  const auto known = [](std::string_view name) { return known_classes().contains(name) ? name : std::string_view(); };
  std::string_view of_type;
  for (const ModelTypes& row : registered()) {
    if (std::ranges::find(row.types, settings.model_type) != row.types.end()) of_type = row.class_name;
  }
  const std::string_view named = settings.class_name;
  const bool registered_wins = std::ranges::find(kRegisteredWins, settings.model_type) != kRegisteredWins.end();
  if (named.empty()) return known(of_type);
  if (of_type == "TokenizersBackend") return {};
  if (named == "LlamaTokenizer" && !registered_wins && names_byte_level(folder / "tokenizer.json")) return {};
  return known(registered_wins ? of_type : named);
}

const ClassPipeline* class_pipeline(std::string_view name) {
  const auto it = known_classes().find(name);
  return it == known_classes().end() ? nullptr : &it->second.pipeline;
}

void set_class_tokens(std::string_view name, PretrainedSettings& settings) {
  const ClassPipeline* pipeline = class_pipeline(name);
  if (pipeline == nullptr) return;
  for (const auto& [token, content] : pipeline->tokens) settings.set_default(token, content);
}

void build_class_sections(std::string_view name, const PretrainedSettings& settings, const std::string& charsmap, Json& file) {
  known_classes().at(name).build(settings, charsmap, file);
}

Json sentence_piece_normalizer(const std::string& charsmap) {
  Json steps = Json::array({replace(" ", kMetaspace)});
  if (!charsmap.empty()) steps.insert(steps.begin(), precompiled(charsmap));
  return sequence("normalizers", std::move(steps));
}

Json sentence_piece_decoder(bool byte_fallback, bool strips_prefix) {
  return byte_fallback || strips_prefix ? llama_decoder(strips_prefix) : sequence("decoders", Json::array({replace(kMetaspace, " ")}));
}

Json blanks_normalizer(const std::string& charsmap, bool removes_extra, bool adds_prefix) {
  Json steps = Json::array();
  if (!charsmap.empty()) steps.push_back(precompiled(charsmap));
  const auto blanks = [&](const char* pattern, const char* content) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", content}});
  };
  if (removes_extra) {
    blanks(R"(\A +| +\z)", "");
    blanks("  +", " ");
  } else if (adds_prefix) {
    // The pre-tokenizer adds none to a text that begins with one.
    steps.push_back({{"type", "Prepend"}, {"prepend", kMetaspace}});
  }
  return sequence("normalizers", std::move(steps));
}

Json marks_pre_tokenizer(bool adds_prefix) { return metaspace(adds_prefix ? "first" : "never", false); }

}  // namespace bigmodel::tokenizer
