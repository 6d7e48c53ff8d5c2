// SPDX-License-Identifier: Apache-2.0
// Cache plans against published bytes per token and against caches that the reference filled.
#include "bigmodel/planning/kv_cache.h"

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"
#include "support/json_lines.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

spec::SpecLibrary& library() {
  static spec::SpecLibrary all(embedded::architectures_files());
  return all;
}

CachePlan plan_of(const std::string& config, const std::string& cls = "auto") {
  return plan_cache(build_meta_graph(library(), parse_config(config, "config.json"), {.class_name = cls, .disk_rules = false}));
}

CachePlan catalog_plan(std::string_view model) {
  const std::optional<CatalogEntry> entry = find_catalog_entry(model);
  REQUIRE_MESSAGE(entry.has_value(), model);
  return plan_of(entry->config);
}

CacheSize at(const CachePlan& plan, std::int64_t context, std::int64_t batch = 1, std::string_view format = "bfloat16") {
  return cache_size(plan, {.context = context, .batch = batch, .format = *find_kv_format(format)});
}

}  // namespace

TEST_SUITE("planning/kv_cache") {
  TEST_CASE("bytes per token of well-known models, now and after all windows are full") {
    int seen = 0;
    test::for_each_record("tests/golden/kv_cache/published.jsonl", [&seen](const Json& row) {
      const std::string model = row["model"];
      CAPTURE(model);
      const CachePlan plan = row.contains("config") ? plan_of(row["config"].dump()) : catalog_plan(model);
      CHECK(plan.unknown.empty());
      const CacheSize size = at(plan, 1000);
      CHECK(size.bytes_per_token == row["bytes_per_token"].get<std::int64_t>());
      CHECK(size.bytes_per_token_when_full == row.value("when_full", row["bytes_per_token"].get<std::int64_t>()));
      ++seen;
    });
    CHECK(seen >= 58);
  }

  TEST_CASE("published sizes of whole caches") {
    // gpt-oss-20b, 32 sequences of 8192: twelve full layers and twelve of 128 tokens.
    CHECK(at(catalog_plan("openai/gpt-oss-20b"), 8192, 32).total_bytes == (INT64_C(8192) + 128) * 12 * 2048 * 32);
    // 10,000 tokens: 0.65446 GiB of DeepSeek-V3, 0.64373 of V2, 0.11444 of Qwen2.5-0.5B.
    CHECK(static_cast<double>(at(catalog_plan("deepseek-ai/DeepSeek-V3"), 10000).total_bytes) / (1 << 30) == doctest::Approx(0.65446).epsilon(1e-5));
    CHECK(static_cast<double>(at(catalog_plan("deepseek-ai/DeepSeek-V2"), 10000).total_bytes) / (1 << 30) == doctest::Approx(0.64373).epsilon(1e-5));
    CHECK(static_cast<double>(at(catalog_plan("Qwen/Qwen2.5-0.5B"), 10000).total_bytes) / (1 << 30) == doctest::Approx(0.11444).epsilon(5e-5));
    // A pool of 28.20 GiB holds 184,832 tokens of Mistral-Small-24B, in pages of 16.
    const std::int64_t per_token = at(catalog_plan("mistralai/Mistral-Small-24B-Base-2501"), 1).bytes_per_token;
    CHECK(static_cast<double>(184832 * per_token) / (1 << 30) == doctest::Approx(28.20).epsilon(2e-4));
  }

  TEST_CASE("latents expand to the heads that an engine without absorbed projections keeps") {
    const CachePlan plan = catalog_plan("deepseek-ai/DeepSeek-V3");
    CHECK(plan.layers.front().kind == CacheKind::latent);
    CacheRequest request{.context = 1, .format = *find_kv_format("bfloat16")};
    CHECK(cache_size(plan, request).total_bytes == 576 * 2 * 61);
    request.expand_latent = true;
    CHECK(cache_size(plan, request).total_bytes == 128 * (192 + 128) * 2 * 61);
  }

  TEST_CASE("an indexer's keys beside the latents: one of 128, in vLLM a byte each and a float32 scale for 128 (published for DeepSeek-V3.2)") {
    const CachePlan plan = plan_of(R"({"model_type": "deepseek_v32", "architectures": ["DeepseekV32ForCausalLM"]})");
    CacheRequest request{.context = 16, .format = *find_kv_format("bfloat16"), .engine = CacheEngine::vllm};
    CHECK(cache_size(plan, request).total_bytes == INT64_C(16) * 61 * (576 * 2 + 128 + 4));
    request.engine = CacheEngine::exact;
    CHECK(cache_size(plan, request).total_bytes == INT64_C(16) * 61 * (576 + 128) * 2);
  }

  TEST_CASE("this project's engine keeps windows and a little more in RAM, whole ones on accelerators, the heads of latents, and float32") {
    CacheRequest request{.format = *find_kv_format("float32"), .model_dtype = DType::bfloat16, .engine = CacheEngine::bigmodel};
    const auto total = [&](const CachePlan& plan, std::int64_t context) {
      request.context = context;
      return cache_size(plan, request).total_bytes;
    };
    const CachePlan mistral = catalog_plan("mistralai/Mistral-7B-v0.1");
    CHECK(kept_window_tokens(4096, false) == 4096 + 256);
    CHECK(kept_window_tokens(20, false) == 20 + 32);
    CHECK(kept_window_tokens(20, true) == 20);
    CHECK(kept_window_tokens(0, false) == INT64_MAX);
    CHECK(kept_window_tokens(INT64_MAX, false) == INT64_MAX);
    CHECK(total(mistral, 4352) == INT64_C(4352) * 131072 * 2);
    CHECK(total(mistral, 100000) == INT64_C(4352) * 131072 * 2);
    CHECK(cache_size(mistral, request).windows_full_at == 4352);
    // Queries that see nothing average over all keys.
    const CachePlan griffin = plan_of(R"({"model_type": "recurrent_gemma", "architectures": ["RecurrentGemmaForCausalLM"]})");
    CHECK(total(griffin, 100001) - total(griffin, 100000) == INT64_C(8) * 2 * 10 * 256 * 4);
    const CachePlan latent = catalog_plan("deepseek-ai/DeepSeek-V3");
    CHECK(total(latent, 10) == INT64_C(10) * 128 * (192 + 128) * 4 * 61);
    CHECK(total(catalog_plan("state-spaces/mamba-130m-hf"), 10) == INT64_C(24) * 1536 * (3 + 16) * 4);
    request.on_accelerators = true;
    CHECK(total(mistral, 100000) == INT64_C(100000) * 131072 * 2);
  }

  TEST_CASE("formats: blocks of llama.cpp, fp8, nvfp4") {
    const CachePlan plan = catalog_plan("meta-llama/Meta-Llama-3-8B");
    const std::int64_t elements = 8 * 128 * 2 * 32;
    const std::map<std::string, std::int64_t> bytes = {{"float32", elements * 4},     {"bfloat16", elements * 2}, {"fp8", elements},
                                                       {"q8_0", elements / 32 * 34}, {"q5_1", elements / 32 * 24}, {"q4_0", elements / 32 * 18},
                                                       {"nvfp4", elements / 16 * 9}};
    for (const auto& [name, expected] : bytes) {
      CAPTURE(name);
      CHECK(at(plan, 1, 1, name).total_bytes == expected);
    }
    CHECK(find_kv_format("fp16")->name == "float16");
    CHECK(find_kv_format("fp8_e5m2")->name == "fp8");
    CHECK_FALSE(find_kv_format("int64").has_value());
    CHECK_FALSE(find_kv_format("fp8_e9").has_value());
  }

  TEST_CASE("states do not grow: Qwen3-Next's delta nets, in float32 beside 16-bit convolutions") {
    const CachePlan plan = plan_of(R"({"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"], "num_hidden_layers": 4})");
    REQUIRE(plan.layers.size() == 4);
    CHECK(plan.layers[0].kind == CacheKind::state);
    CHECK(plan.layers[3].kind == CacheKind::full);
    const std::int64_t state = 32 * 128 * 128 * 4 + (2 * 16 * 128 + 32 * 128) * 3 * 2;
    CHECK(at(plan, 10).layer_bytes[0] == state);
    CHECK(at(plan, 100000).layer_bytes[0] == state);
    CHECK(at(plan, 10).fixed_bytes_per_sequence == 3 * state);
    // Qwen3.6-27B's layer as llama.cpp logs it, everything in float32: 3,268,608 B a sequence.
    const CachePlan big = plan_of(R"({"model_type": "qwen3_next", "num_hidden_layers": 1, "linear_num_value_heads": 48})");
    CHECK(cache_size(big, {.context = 1, .model_dtype = DType::float32}).total_bytes == 3268608);
  }

  TEST_CASE("cross-attention keeps the encoder's tokens, encoders nothing") {
    const CachePlan whisper = catalog_plan("openai/whisper-tiny");
    REQUIRE(whisper.layers.size() == 8);
    CHECK(whisper.layers[0].kind == CacheKind::full);
    CHECK(whisper.layers[1].kind == CacheKind::cross);
    CHECK(at(whisper, 3).layer_bytes[1] == INT64_C(1500) * 384 * 2 * 2);
    const CachePlan t5 = catalog_plan("t5-small");
    REQUIRE(t5.layers.size() == 12);
    CHECK(cache_size(t5, {.context = 5, .encoder_tokens = 7}).layer_bytes[1] == 7 * 512 * 2 * 2);
    CHECK(plan_of(R"({"model_type": "bert"})").layers.empty());
    CHECK(plan_of(R"({"model_type": "clip"})").layers.empty());
    CHECK(plan_of(R"({"model_type": "vit"})").layers.empty());
  }

  TEST_CASE("beams multiply, sliding layers stop at their window, nonsense is refused") {
    const CachePlan plan = catalog_plan("mistralai/Mistral-7B-v0.1");
    CHECK(at(plan, 100000).total_bytes == at(plan, 4096).total_bytes);
    CHECK(at(plan, 100000).windows_full_at == 4096);
    CHECK(cache_size(plan, {.context = 10, .batch = 3, .beams = 4}).total_bytes == 12 * at(plan, 10).total_bytes);
    CHECK_THROWS_AS(cache_size(plan, {.context = -1}), UsageError);
    CHECK_THROWS_AS(cache_size(plan, {.context = 1, .batch = 0}), UsageError);
    CHECK_THROWS_AS(cache_size(catalog_plan("gpt2"), {.context = INT64_MAX / 2}), FormatError);
  }

  TEST_CASE("windows by a pattern, gated queries") {
    // A pattern as a number, and as it stands beside the list that decides.
    const auto kinds = [](const char* config) {
      std::string out;
      for (const CacheLayer& layer : plan_of(config).layers) out += layer.kind == CacheKind::full ? 'G' : 'L';
      return out;
    };
    CHECK(kinds(R"({"model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window_pattern": 2})") == "LGLG");
    CHECK(kinds(R"({"model_type": "exaone4", "num_hidden_layers": 4, "sliding_window": 64, "sliding_window_pattern": "LLLG",
        "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]})") == "LLLG");
    // A gate doubles the queries, not what is cached.
    const MetaGraph gated = build_meta_graph(library(), parse_config(R"({"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"], "num_hidden_layers": 4, "attn_output_gate": true, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "hidden_size": 2048})", "config.json"), {.class_name = "auto"});
    const ModuleTemplate* q = find_module(gated, "model.layers.3.self_attn.q_proj");
    REQUIRE(q != nullptr);
    CHECK(q->parameters.front().shape == Shape{2 * 16 * 256, 2048});
    CHECK(at(plan_cache(gated), 1).layer_bytes[3] == 2 * 2 * 256 * 2);
    CHECK(gated.warnings.empty());
  }

  TEST_CASE("chunks, shared keys and values, and what cannot be told") {
    spec::SpecLibrary own(embedded::architectures_files());
    own.add_text("own.arch", R"(arch 1

model shared_kv : llama as Own
  class Attention
    block attention
      chunk = 64 if i == 0 else null
      shared_kv = i - 1 if i > 1 else null

model odd : llama as Odd
  class Attention
    block attention
      k = null
      head_dim = null
)");
    const auto plan = [&own](const char* config) {
      return plan_cache(build_meta_graph(own, parse_config(config, "config.json"), {.class_name = "base"}));
    };
    const CachePlan shared = plan(R"({"model_type": "shared_kv", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4})");
    REQUIRE(shared.layers.size() == 3);
    CHECK(shared.layers[0].kind == CacheKind::chunked);
    CHECK(shared.layers[2].kind == CacheKind::shared);
    CHECK(at(shared, 100).layer_bytes == std::vector<std::int64_t>{64 * 256, 100 * 256, 0});
    const CachePlan odd = plan(R"({"model_type": "odd", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4})");
    CHECK(odd.layers.empty());
    REQUIRE(odd.unknown.size() == 2);
    CHECK(odd.unknown[0].find("layers.0.self_attn: ") == 0);
    CHECK(odd.unknown[0].find("'head_dim'") != std::string::npos);
  }

  TEST_CASE("caches that the reference filled, layer by layer") {
    int seen = 0;
    std::map<std::string, int> types;
    for (const char* file : {"tests/golden/kv_cache/hf_caches.jsonl", "tests/golden/kv_cache/hf_caches_all.jsonl"}) test::for_each_record(file, [&](const Json& row) {
      const std::string config = row["config"].dump();
      CAPTURE(config);
      const bool fixed = row["cache"] == "static";
      CAPTURE(fixed);
      const CachePlan plan = plan_of(config, row["class"]);
      CHECK(plan.unknown.empty());
      CacheRequest request;
      request.context = row[fixed ? "max_cache_len" : "tokens"];
      request.batch = row["batch"];
      request.encoder_tokens = row.value("encoder_tokens", 0);
      request.model_dtype = *find_dtype(row["dtype"].get<std::string>());
      request.format = *kv_format(request.model_dtype);
      request.engine = fixed ? CacheEngine::hf_static : CacheEngine::hf;
      const CacheSize size = cache_size(plan, request);
      CHECK(size.total_bytes == row["bytes"].get<std::int64_t>());
      ++seen;
      ++types[row["config"]["model_type"]];
    });
    CHECK(types.size() >= 150);
    MESSAGE(seen, " caches of ", types.size(), " types");
  }
}

}  // namespace bigmodel
