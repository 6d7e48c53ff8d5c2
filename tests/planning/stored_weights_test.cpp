// SPDX-License-Identifier: Apache-2.0
// Weights as quantisers store them, against published byte counts of checkpoints.
#include "bigmodel/planning/stored_weights.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/block_facts.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"
#include "bigmodel/planning/kv_cache.h"
#include "bigmodel/planning/packed_graph.h"

namespace bigmodel {
namespace {

spec::SpecLibrary& library() {
  static spec::SpecLibrary all(embedded::architectures_files());
  return all;
}

/// A model of the catalog with its own quantization_config, or with this one where it has none.
StoredWeights priced(std::string_view model, const std::string& quantization = {}) {
  const std::optional<CatalogEntry> entry = find_catalog_entry(model);
  REQUIRE_MESSAGE(entry.has_value(), model);
  std::string text = entry->config;
  if (!quantization.empty()) text.insert(text.rfind('}'), fmt::format(R"(, "quantization_config": {})", quantization));
  const Config config = parse_config(text, "config.json");
  const MetaGraph graph = build_meta_graph(library(), config, {.class_name = "auto"});
  const std::optional<QuantizationConfig> q = quantization_of(config);
  REQUIRE(q.has_value());
  return price_stored_weights(graph, *q);
}

constexpr const char* kLlama8 = "meta-llama/Meta-Llama-3-8B";

}  // namespace

TEST_SUITE("planning/stored_weights") {
  TEST_CASE("GPTQ and AWQ: published totals of Llama-3.1-8B in groups of 128") {
    const StoredWeights awq = priced(kLlama8, R"({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true, "version": "gemm"})");
    CHECK(awq.bytes == 5'727'854'592);
    CHECK(awq.parameters == 8'030'261'248);
    REQUIRE(awq.parts.size() == 2);
    CHECK(awq.parts[0].form == "int4, groups of 128");
    CHECK(awq.parts[0].parameters == INT64_C(32) * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336));
    CHECK(priced(kLlama8, R"({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false})").bytes == 5'732'835'328);
    // 4.625 bits a weight in groups of 32, and the widths of the older keys.
    const auto packed = [](const std::string& q) { return priced(kLlama8, q).parts[0]; };
    const StoredWeights::Part fine = packed(R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 32})");
    CHECK(fine.bytes * 8 * 1000 == fine.parameters * 4625);
    const StoredWeights::Part wide = packed(R"({"quant_method": "awq", "bits": 8, "group_size": 128})");
    CHECK(wide.bytes * 8 * 10000 == wide.parameters * 81875);
    // A rule of its own for some modules, and none for others.
    const StoredWeights dynamic = priced(kLlama8, R"({"quant_method": "gptq", "bits": 4, "group_size": 128,
        "dynamic": {"-:.*\\.layers\\.0\\..*": {}, "+:.*\\.down_proj": {"bits": 8}}})");
    REQUIRE(dynamic.parts.size() == 3);
    CHECK(dynamic.parts[1].form == "int8, groups of 128");
    CHECK(dynamic.parts[1].parameters == INT64_C(31) * 4096 * 14336);
  }

  TEST_CASE("bitsandbytes: published totals of Llama-2-7B and Llama-3.1-8B") {
    const std::string nf4 = R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})";
    const std::string twice = R"({"load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true})";
    CHECK(priced("meta-llama/Llama-2-7b-hf", nf4).bytes == 4'167'573'504);
    CHECK(priced("meta-llama/Llama-2-7b-hf", twice).bytes == 3'865'591'808);
    CHECK(priced(kLlama8, nf4).bytes == 6'027'747'328);
    CHECK(priced(kLlama8, twice).bytes == 5'702'295'552);
    const StoredWeights int8 = priced("meta-llama/Llama-2-7b-hf", R"({"quant_method": "bitsandbytes", "load_in_8bit": true})");
    CHECK(int8.parts[0].bytes == int8.parts[0].parameters + INT64_C(32) * (4 * 4096 + 2 * 11008 + 4096) * 4);
    // A skip list replaces the default one.
    CHECK(priced(kLlama8, R"({"load_in_8bit": true, "llm_int8_skip_modules": ["lm_head", "layers.1"]})").parts[0].parameters ==
          INT64_C(32) * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336));
    CHECK(priced(kLlama8, R"({"load_in_8bit": true, "llm_int8_skip_modules": ["lm_head", "model.layers.1"]})").parts[0].parameters ==
          INT64_C(31) * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336));
    // Tied output layers stay as they are; without a list the untied one does too.
    CHECK(priced("gpt2", nf4).parts[0].parameters == INT64_C(12) * (768 * 2304 + 768 * 768 + 2 * 768 * 3072));
    CHECK(priced(kLlama8, R"({"load_in_8bit": true, "llm_int8_skip_modules": []})").parts[0].parameters ==
          INT64_C(32) * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + INT64_C(128256) * 4096);
  }

  TEST_CASE("FP8: rows of a published checkpoint, tiles of 128, one scale a tensor") {
    CHECK(priced("Qwen/Qwen3-8B", R"({"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true},
        "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true}}}})").bytes == 9'438'504'960);
    const StoredWeights tiles = priced(kLlama8, R"({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"})");
    CHECK(tiles.parts[0].bytes == tiles.parts[0].parameters + tiles.parts[0].parameters / 128 / 128 * 4);
    const StoredWeights tensors = priced(kLlama8, R"({"quant_method": "fp8", "activation_scheme": "static"})");
    CHECK(tensors.parts[0].bytes == tensors.parts[0].parameters + 224 * 8);
    // The file of the published FP8 checkpoint (9,081,280,648 B) is its tensors and a header of some 80 KB.
    const std::int64_t file = 9'081'280'648;
    CHECK(priced(kLlama8, R"({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]})").bytes > file);
    CHECK(tensors.bytes < file);
    CHECK(file - tensors.bytes < 100'000);
  }

  TEST_CASE("DeepSeek-V3: published elements by dtype, the layer of multi-token prediction left out") {
    const StoredWeights v3 = priced("deepseek-ai/DeepSeek-V3");
    // 688,574,839,360 B with the 62nd layer; the whole checkpoint is 684,531,386,000 elements of which 13,463,426,304 are that layer's.
    CHECK(static_cast<double>(v3.bytes) == doctest::Approx(688'574'839'360.0 * 671'026'419'200.0 / 684'489'845'504.0).epsilon(0.003));
    CHECK(v3.parameters == 671'026'419'200);
  }

  TEST_CASE("MXFP4: the tensors of gpt-oss to the byte") {
    const StoredWeights small = priced("openai/gpt-oss-20b");
    CHECK(small.bytes == 13'761'264'768);
    CHECK(small.parameters == 20'914'757'184);
    CHECK(small.parts[1].parameters == 1'804'459'584);
    CHECK(small.parts[0].bytes == INT64_C(9'555'148'800) + 597'196'800);
    CHECK(priced("openai/gpt-oss-120b").bytes == 65'248'815'744);
    CHECK(priced("openai/gpt-oss-120b").parameters == 116'829'156'672);
  }

  TEST_CASE("NVFP4 and integers of compressed-tensors, ModelOpt and torchao") {
    const auto packed = [](const std::string& q) { return priced(kLlama8, q).parts[0]; };
    const std::int64_t linear = INT64_C(32) * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336);
    const StoredWeights::Part nv = packed(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]})");
    CHECK(nv.parameters == linear);
    CHECK(nv.bytes == linear / 2 + linear / 16 + 224 * 8);
    CHECK(packed(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head", "model.layers.*.self_attn*"]})").parameters ==
          INT64_C(32) * 3 * 4096 * 14336);
    const std::string group = R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["re:.*lm_head", "re:.*(q|k)_proj$"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": )";
    const std::int64_t without_qk = linear - INT64_C(32) * (4096 * 4096 + 4096 * 1024);
    CHECK(packed(group + "true}}}}").bytes == without_qk / 2 + without_qk / 128 * 2 + INT64_C(32) * 5 * 16);
    CHECK(packed(group + "false}}}}").bytes == without_qk / 2 + without_qk / 128 * 2 + without_qk / 128 / 2 + INT64_C(32) * 5 * 16);
    CHECK(packed(R"({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}}})").bytes ==
          linear / 2 + linear / 64 * 4);
    CHECK(packed(R"({"quant_method": "torchao", "quant_type": "int8_weight_only"})").bytes == linear + INT64_C(32) * 43008 * 2);
  }

  TEST_CASE("a graph as stored: what places modules finds the same bytes, and the same shapes") {
    const auto check = [](std::string_view model, const std::string& quantization) {
      CAPTURE(std::string(model));
      const StoredWeights priced_weights = priced(model, quantization);
      std::string text = find_catalog_entry(model)->config;
      if (!quantization.empty()) text.insert(text.rfind('}'), fmt::format(R"(, "quantization_config": {})", quantization));
      const Config config = parse_config(text, "config.json");
      const MetaGraph plain = build_meta_graph(library(), config, {.class_name = "auto"});
      const MetaGraph packed = packed_graph(plain, *quantization_of(config));
      std::int64_t bytes = 0;
      for_each_tensor(packed, [&](const TensorVisit& visit) {
        if (!visit.tied_to.empty() || (visit.is_buffer && !visit.tensor.persistent)) return;
        bytes += byte_count(resolved_dtype(visit.tensor, plain.stored_dtype.value_or(DType::bfloat16)), element_count(visit.tensor.shape, visit.name));
      });
      CHECK(bytes == priced_weights.bytes);
      CHECK(plan_cache(packed).layers.size() == plan_cache(plain).layers.size());
      CHECK(cache_size(plan_cache(packed), {.context = 100}).total_bytes == cache_size(plan_cache(plain), {.context = 100}).total_bytes);
      return packed;
    };
    const MetaGraph awq = check(kLlama8, R"({"quant_method": "awq", "bits": 4, "group_size": 128})");
    const ModuleTemplate* q = find_module(awq, "model.layers.7.self_attn.q_proj");
    REQUIRE(q != nullptr);
    CHECK(q->parameters[0].shape == Shape{4096, 4096});
    CHECK(q->parameters[0].dtype == DType::int4);
    CHECK(q->parameters[1].name == "weight_packing");
    // All layers are alike and stay one template.
    CHECK(find_module(awq, "model.layers.0") == find_module(awq, "model.layers.31"));
    // Some are not, and the others stay shared.
    const MetaGraph some = check(kLlama8, R"({"load_in_8bit": true, "llm_int8_skip_modules": ["lm_head", "model.layers.1"]})");
    CHECK(find_module(some, "model.layers.0") == find_module(some, "model.layers.31"));
    CHECK(find_module(some, "model.layers.1") != find_module(some, "model.layers.0"));
    CHECK(!find_parameter(*find_module(some, "model.layers.1.mlp.up_proj"), "weight")->dtype);
    check(kLlama8, R"({"quant_method": "gptq", "bits": 3, "group_size": 128})");
    check(kLlama8, R"({"quant_method": "fp8", "weight_block_size": [128, 128]})");
    check("mistralai/Mixtral-8x7B-v0.1", R"({"quant_method": "gptq", "bits": 4, "group_size": 128})");
    check("openai/gpt-oss-20b", {});
    check("gpt2", R"({"load_in_4bit": true})");
  }

  TEST_CASE("a mixture's experts are packed one by one") {
    const StoredWeights m = priced("mistralai/Mixtral-8x7B-v0.1", R"({"quant_method": "gptq", "bits": 4, "group_size": 128})");
    const std::int64_t experts = INT64_C(32) * 8 * 3 * 4096 * 14336, attention = INT64_C(32) * (2 * 4096 * 4096 + 2 * 4096 * 1024);
    CHECK(m.parts[0].parameters == experts + attention);
    const std::int64_t lists = INT64_C(32) * 4 * (8 * (2 * 4096 + 14336) + 4 * 4096);
    CHECK(m.parts[0].bytes == (experts + attention) / 2 + (experts + attention) / 128 * 2 + (experts + attention) / 256 + lists);
  }

  TEST_CASE("what is not known is said, and priced as before quantisation") {
    for (const char* q : {R"({"quant_method": "aqlm"})", R"({"quant_method": 4})", R"({"quant_method": "torchao", "quant_type": "int3_sometimes"})",
                          R"({"quant_method": "modelopt", "quant_algo": "W2A2"})", R"({"quant_method": "gptq", "bits": -4})",
                          R"({"quant_method": "gptq", "bits": 4000000000000})", R"({"quant_method": "fp8", "weight_block_size": [0, 128]})",
                          R"({"quant_method": "compressed-tensors"})", R"({"quant_method": "compressed-tensors", "config_groups": {}, "ignore": ["re:(?<=a)b"]})"}) {
      CAPTURE(q);
      const StoredWeights unknown = priced(kLlama8, q);
      CHECK(unknown.unknown.size() == 1);
      CHECK(unknown.bytes == 16'060'522'496);
    }
    const Config both = parse_config(R"({"model_type": "llama", "quantization_config": {"quant_method": "awq"},
        "text_config": {"quantization_config": {"quant_method": "gptq"}}})", "config.json");
    CHECK(quantization_of(both)->method == "awq");
    CHECK(quantization_of(both)->warnings.size() == 1);
    CHECK(quantization_of(parse_config(R"({"model_type": "llama", "text_config": {"quantization_config": {"quant_method": "gptq"}}})", "x"))->method == "gptq");
    CHECK(!quantization_of(parse_config(R"({"model_type": "llama"})", "x")));
    // What is no object says nothing; neither does bitsandbytes without a width.
    CHECK(quantization_of(parse_config(R"({"model_type": "llama", "quantization_config": 4})", "x"))->unknown.size() == 1);
    CHECK(quantization_of(parse_config(R"({"model_type": "llama", "quantization_config": {"quant_method": "bitsandbytes"}})", "x"))->unknown.size() == 1);
    // The short name that commands show is the same reader's.
    CHECK(parse_config(R"({"model_type": "llama", "text_config": {"quantization_config": {"quant_method": "GPTQ"}}})", "x").quantization_method == "gptq");
    CHECK(parse_config(R"({"model_type": "llama", "compression_config": {"config_groups": {}}})", "x").quantization_method == "compressed-tensors");
  }
}

}  // namespace bigmodel
