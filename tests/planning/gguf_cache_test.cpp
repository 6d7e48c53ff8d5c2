// SPDX-License-Identifier: Apache-2.0
// Caches of models that only a GGUF file's metadata describe: every architecture that is known makes a model, and published sizes come out.
#include <doctest/doctest.h>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/gguf_config.h"
#include "bigmodel/planning/kv_cache.h"

namespace bigmodel {
namespace {

CachePlan plan_of(const std::string& architecture, const GgufFacts& facts) {
  spec::SpecLibrary library(embedded::architectures_files());
  return plan_cache(build_meta_graph(library, config_of_gguf(architecture, facts, "x.gguf"), {.class_name = "auto", .disk_rules = false}));
}

std::int64_t bytes(const CachePlan& plan, std::int64_t context, CacheEngine engine = CacheEngine::exact) {
  return cache_size(plan, {.context = context, .engine = engine}).total_bytes;
}

const GgufFacts kSmall = {{"block_count", {4}}, {"embedding_length", {64}}, {"feed_forward_length", {128}}, {"context_length", {4096}}, {"vocab_size", {100}}, {"attention.head_count", {4}},
                          {"attention.head_count_kv", {2}}, {"attention.key_length", {16}}, {"expert_count", {4}}, {"expert_used_count", {2}}, {"expert_shared_count", {1}}, {"expert_feed_forward_length", {32}},
                          {"attention.sliding_window", {8}}, {"ssm.conv_kernel", {4}}, {"ssm.state_size", {8}}, {"ssm.time_step_rank", {4}}, {"ssm.inner_size", {128}}};

}  // namespace

TEST_SUITE("planning/gguf_cache") {
  TEST_CASE("every known architecture makes a model whose layers all tell what they keep") {
    for (const std::string& architecture : gguf_architectures()) {
      CAPTURE(architecture);
      GgufFacts facts = kSmall;
      if (architecture == "deepseek2") facts.insert({{"attention.kv_lora_rank", {12}}, {"attention.q_lora_rank", {16}}, {"rope.dimension_count", {4}}, {"attention.value_length", {10}}});
      const CachePlan plan = plan_of(architecture, facts);
      CHECK(plan.unknown.empty());
      CHECK(plan.layers.size() == 4);
      CHECK(bytes(plan, 100) > 0);
    }
  }

  TEST_CASE("Llama-3-8B: 131,072 bytes a token; DeepSeek-V3's latents as older and newer files state them: 70,272") {
    const CachePlan llama = plan_of("llama", {{"block_count", {32}}, {"embedding_length", {4096}}, {"feed_forward_length", {14336}}, {"attention.head_count", {32}}, {"attention.head_count_kv", {8}}, {"vocab_size", {128256}}});
    CHECK(bytes(llama, 1) == 131072);
    GgufFacts facts = {{"block_count", {61}}, {"embedding_length", {7168}}, {"attention.head_count", {128}}, {"attention.head_count_kv", {128}}, {"attention.kv_lora_rank", {512}}, {"attention.q_lora_rank", {1536}},
                       {"rope.dimension_count", {64}}, {"attention.key_length", {192}}, {"attention.value_length", {128}}};
    CHECK(bytes(plan_of("deepseek2", facts), 1) == 70272);
    CHECK(bytes(plan_of("deepseek2", facts), 1, CacheEngine::bigmodel) == 61 * 128 * (192 + 128) * 2);
    facts["attention.head_count_kv"] = {1};
    facts["attention.key_length"] = {576};
    facts["attention.value_length"] = {512};
    facts["attention.key_length_mla"] = {192};
    facts["attention.value_length_mla"] = {128};
    CHECK(bytes(plan_of("deepseek2", facts), 1) == 70272);
    CHECK(bytes(plan_of("deepseek2", facts), 1, CacheEngine::bigmodel) == 61 * 128 * (192 + 128) * 2);
  }

  TEST_CASE("lists by layer: LFM2's layers without heads, windows; heads that differ are not told") {
    GgufFacts facts = kSmall;
    facts["attention.head_count_kv"] = {0, 0, 2, 0};
    facts["shortconv.l_cache"] = {3};
    const CachePlan lfm2 = plan_of("lfm2", facts);
    CHECK(lfm2.layers[0].kind == CacheKind::state);
    CHECK(lfm2.layers[2].kind == CacheKind::full);
    CHECK_THROWS_AS(plan_of("llama", facts), UnsupportedError);
    facts["attention.head_count_kv"] = {2, 2, 4, 2};
    CHECK_THROWS_AS(plan_of("llama", facts), UnsupportedError);
    facts["attention.head_count_kv"] = {2};
    facts["attention.sliding_window_pattern"] = {1, 0, 1, 0};
    const CachePlan windows = plan_of("gemma3", facts);
    CHECK(windows.layers[0].kind == CacheKind::sliding);
    CHECK(windows.layers[1].kind == CacheKind::full);
    CHECK_THROWS_AS(plan_of("alien", facts), UnsupportedError);
    facts["block_count"] = {-1};
    CHECK_THROWS_AS(plan_of("llama", facts), FormatError);
  }
}

}  // namespace bigmodel
