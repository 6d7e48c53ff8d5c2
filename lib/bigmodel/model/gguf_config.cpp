// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

struct Architecture {
  std::string_view gguf, model_type, class_name;
};
// llama.cpp's names (LLM_ARCH_NAMES) and what transformers calls the same.
constexpr std::array<Architecture, 46> kArchitectures = {{{"llama", "llama", "LlamaForCausalLM"},
                                                          {"llama4", "llama4_text", "Llama4ForCausalLM"},
                                                          {"qwen2", "qwen2", "Qwen2ForCausalLM"},
                                                          {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM"},
                                                          {"qwen3", "qwen3", "Qwen3ForCausalLM"},
                                                          {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"},
                                                          {"gemma", "gemma", "GemmaForCausalLM"},
                                                          {"gemma2", "gemma2", "Gemma2ForCausalLM"},
                                                          {"gemma3", "gemma3_text", "Gemma3ForCausalLM"},
                                                          {"gemma3n", "gemma3n_text", "Gemma3nForCausalLM"},
                                                          {"gemma4", "gemma4_text", "Gemma4ForCausalLM"},
                                                          {"phi2", "phi", "PhiForCausalLM"},
                                                          {"phi3", "phi3", "Phi3ForCausalLM"},
                                                          {"gpt-oss", "gpt_oss", "GptOssForCausalLM"},
                                                          {"deepseek2", "deepseek_v3", "DeepseekV3ForCausalLM"},
                                                          {"falcon", "falcon", "FalconForCausalLM"},
                                                          {"bloom", "bloom", "BloomForCausalLM"},
                                                          {"mpt", "mpt", "MptForCausalLM"},
                                                          {"gpt2", "gpt2", "GPT2LMHeadModel"},
                                                          {"gptneox", "gpt_neox", "GPTNeoXForCausalLM"},
                                                          {"starcoder", "gpt_bigcode", "GPTBigCodeForCausalLM"},
                                                          {"starcoder2", "starcoder2", "Starcoder2ForCausalLM"},
                                                          {"stablelm", "stablelm", "StableLmForCausalLM"},
                                                          {"command-r", "cohere", "CohereForCausalLM"},
                                                          {"cohere2", "cohere2", "Cohere2ForCausalLM"},
                                                          {"olmo", "olmo", "OlmoForCausalLM"},
                                                          {"olmo2", "olmo2", "Olmo2ForCausalLM"},
                                                          {"olmoe", "olmoe", "OlmoeForCausalLM"},
                                                          {"granite", "granite", "GraniteForCausalLM"},
                                                          {"granitemoe", "granitemoe", "GraniteMoeForCausalLM"},
                                                          {"glm4", "glm4", "Glm4ForCausalLM"},
                                                          {"glm4moe", "glm4_moe", "Glm4MoeForCausalLM"},
                                                          {"minimax-m2", "minimax_m2", "MiniMaxM2ForCausalLM"},
                                                          {"lfm2", "lfm2", "Lfm2ForCausalLM"},
                                                          {"mamba", "mamba", "MambaForCausalLM"},
                                                          {"smollm3", "smollm3", "SmolLM3ForCausalLM"},
                                                          {"seed_oss", "seed_oss", "SeedOssForCausalLM"},
                                                          {"exaone4", "exaone4", "Exaone4ForCausalLM"},
                                                          {"ernie4_5", "ernie4_5", "Ernie4_5ForCausalLM"},
                                                          {"hunyuan-dense", "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM"},
                                                          {"nemotron", "nemotron", "NemotronForCausalLM"},
                                                          {"dots1", "dots1", "Dots1ForCausalLM"},
                                                          {"arcee", "arcee", "ArceeForCausalLM"},
                                                          {"apertus", "apertus", "ApertusForCausalLM"},
                                                          {"internlm2", "llama", "LlamaForCausalLM"},
                                                          {"mistral3", "ministral3", "Ministral3ForCausalLM"}}};

struct Key {
  std::string_view gguf, config;
};
constexpr std::array<Key, 22> kKeys = {{{"block_count", "num_hidden_layers"},
                                        {"embedding_length", "hidden_size"},
                                        {"feed_forward_length", "intermediate_size"},
                                        {"context_length", "max_position_embeddings"},
                                        {"vocab_size", "vocab_size"},
                                        {"attention.head_count", "num_attention_heads"},
                                        {"attention.sliding_window", "sliding_window"},
                                        {"expert_count", "num_local_experts"},
                                        {"expert_used_count", "num_experts_per_tok"},
                                        {"expert_feed_forward_length", "moe_intermediate_size"},
                                        {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
                                        {"expert_shared_count", "n_shared_experts"},
                                        {"leading_dense_block_count", "first_k_dense_replace"},
                                        {"attention.q_lora_rank", "q_lora_rank"},
                                        {"attention.kv_lora_rank", "kv_lora_rank"},
                                        {"attention.shared_kv_layers", "num_kv_shared_layers"},
                                        {"embedding_length_per_layer_input", "hidden_size_per_layer_input"},
                                        {"shortconv.l_cache", "conv_L_cache"},
                                        {"ssm.conv_kernel", "conv_kernel"},
                                        {"ssm.state_size", "state_size"},
                                        {"ssm.time_step_rank", "time_step_rank"},
                                        {"ssm.inner_size", "intermediate_size"}}};

class Reader {
 public:
  Reader(const GgufFacts& facts, const std::string& where) : facts_(facts), where_(where) {}

  /// The number, where it is the same in all layers.
  std::optional<std::int64_t> number(std::string_view key) const {
    const std::vector<std::int64_t>* values = list(key);
    if (values == nullptr || values->empty()) return std::nullopt;
    if (std::ranges::any_of(*values, [&](std::int64_t v) { return v != values->front(); })) return std::nullopt;
    return sensible(key, values->front());
  }

  const std::vector<std::int64_t>* list(std::string_view key) const {
    const auto it = facts_.find(std::string(key));
    return it == facts_.end() ? nullptr : &it->second;
  }

  std::int64_t sensible(std::string_view key, std::int64_t value) const {
    if (value < 0 || value > std::int64_t{1} << 31) throw FormatError(fmt::format("{}: key '{}' is {}", where_, key, value));
    return value;
  }

 private:
  const GgufFacts& facts_;
  const std::string& where_;
};

/// Key-value heads: one number for all layers; layers without any have no attention.
void put_kv_heads(Json& config, const Reader& facts, std::string_view architecture, const std::string& where) {
  const std::vector<std::int64_t>* heads = facts.list("attention.head_count_kv");
  if (heads == nullptr) return;
  if (const auto same = facts.number("attention.head_count_kv")) {
    config["num_key_value_heads"] = *same;
    return;
  }
  std::int64_t some = 0;
  Json kinds = Json::array();
  for (const std::int64_t count : *heads) {
    if (count != 0 && some != 0 && count != some) {
      throw UnsupportedError(fmt::format("{}: layers with different numbers of key-value heads ({} and {}): their cache is not told", where, some, count));
    }
    if (count != 0) some = facts.sensible("attention.head_count_kv", count);
    kinds.push_back(count == 0 ? "conv" : "full_attention");
  }
  if (architecture != "lfm2") throw UnsupportedError(fmt::format("{}: some layers have no key-value heads: what they keep instead is not told", where));
  config["num_key_value_heads"] = some;
  config["layer_types"] = std::move(kinds);
}

void put_head_sizes(Json& config, const Reader& facts) {
  const auto key = facts.number("attention.key_length");
  if (!key) return;
  if (const auto latent = facts.number("attention.kv_lora_rank")) {
    // Newer files give the compressed vector's length there, and the heads' below names of their own.
    const std::int64_t rope = facts.number("rope.dimension_count").value_or(0);
    config["qk_rope_head_dim"] = rope;
    config["qk_nope_head_dim"] = std::max<std::int64_t>(facts.number("attention.key_length_mla").value_or(*key) - rope, 0);
    config["v_head_dim"] = facts.number("attention.value_length_mla").value_or(facts.number("attention.value_length").value_or(0));
    return;
  }
  if (const auto narrow = facts.number("attention.key_length_swa")) {
    config["head_dim"] = *narrow;
    config["global_head_dim"] = *key;
    return;
  }
  config["head_dim"] = *key;
}

}  // namespace

std::vector<std::string> gguf_architectures() {
  std::vector<std::string> out;
  for (const Architecture& a : kArchitectures) out.emplace_back(a.gguf);
  return out;
}

Config config_of_gguf(const std::string& architecture, const GgufFacts& facts, const std::string& where) {
  const auto known = std::ranges::find(kArchitectures, architecture, &Architecture::gguf);
  if (known == kArchitectures.end()) {
    throw UnsupportedError(fmt::format("{}: the cache of GGUF architecture '{}' is not told", where, architecture), "name the model that it was made of, with its config.json");
  }
  const Reader reader(facts, where);
  for (const char* key : {"block_count", "embedding_length"}) {
    if (!reader.number(key)) throw FormatError(fmt::format("{}: has no key '{}.{}'", where, architecture, key));
  }
  Json config{{"model_type", known->model_type}, {"architectures", {known->class_name}}};
  if (architecture == "llama" && reader.number("expert_count").value_or(0) > 0) {
    config["model_type"] = "mixtral";
    config["architectures"] = {"MixtralForCausalLM"};
  }
  for (const Key& key : kKeys) {
    if (const auto value = reader.number(key.gguf)) config[key.config] = *value;
  }
  put_kv_heads(config, reader, architecture, where);
  put_head_sizes(config, reader);
  // 1 for layers with a window.
  if (const std::vector<std::int64_t>* pattern = reader.list("attention.sliding_window_pattern"); pattern != nullptr && pattern->size() > 1) {
    Json kinds = Json::array();
    for (const std::int64_t slides : *pattern) kinds.push_back(slides != 0 ? "sliding_attention" : "full_attention");
    config["layer_types"] = std::move(kinds);
  }
  return parse_config(config.dump(), where);
}

}  // namespace bigmodel
