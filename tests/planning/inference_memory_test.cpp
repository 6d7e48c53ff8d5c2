// SPDX-License-Identifier: Apache-2.0
// What running takes, against published figures; what fits, against its own definition.
#include "bigmodel/planning/inference_memory.h"

#include <doctest/doctest.h>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"
#include "bigmodel/planning/fit.h"

namespace bigmodel {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

spec::SpecLibrary& library() {
  static spec::SpecLibrary all(embedded::architectures_files());
  return all;
}

InferencePlan plan_of(const std::string& config) {
  return InferencePlan(build_meta_graph(library(), parse_config(config, "config.json"), {.class_name = "auto", .disk_rules = false}));
}

InferencePlan catalog_plan(std::string_view model) {
  const std::optional<CatalogEntry> entry = find_catalog_entry(model);
  REQUIRE_MESSAGE(entry.has_value(), model);
  return plan_of(entry->config);
}

double gib(std::int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); }

}  // namespace

TEST_SUITE("planning/inference_memory") {
  TEST_CASE("weights as they are loaded") {
    // The tensors of the published checkpoint, and two rotary tables of 64 floats that it leaves out.
    CHECK(catalog_plan("meta-llama/Meta-Llama-3-8B").memory({.dtype = DType::bfloat16, .context = 1}).weights_bytes == 16'060'522'496 + 512);
    CHECK(catalog_plan("gpt2").memory({.dtype = DType::float32, .context = 1}).weights_bytes == INT64_C(124439808) * 4);
    // T5 keeps its `wo` in float32 where the rest is float16, and only there.
    const InferencePlan t5 = catalog_plan("t5-small");
    const std::int64_t wo = INT64_C(12) * 512 * 2048;
    CHECK(t5.memory({.dtype = DType::float16, .context = 1}).weights_bytes == INT64_C(60506624) * 2 + wo * 2);
    CHECK(t5.memory({.dtype = DType::bfloat16, .context = 1}).weights_bytes == INT64_C(60506624) * 2);
    // Narrow weights are those of the matrices; embeddings and norms stay 16-bit.
    const InferenceMemory int4 = catalog_plan("gpt2").memory({.dtype = DType::int4, .context = 1});
    const std::int64_t matrices = INT64_C(12) * (768 * 2304 + 768 * 768 + 2 * 768 * 3072);
    CHECK(int4.weights_bytes == matrices / 2 + (124439808 - matrices) * 2);
    CHECK(int4.kv_format.name == "float16");
  }

  TEST_CASE("a token visits a mixture's chosen experts only") {
    CHECK(catalog_plan("gpt2").active_parameters() == catalog_plan("gpt2").parameters());
    const InferencePlan mixtral = catalog_plan("mistralai/Mixtral-8x7B-v0.1");
    CHECK(mixtral.parameters() == 46'702'792'704);
    // Two of eight experts in each of 32 layers.
    CHECK(mixtral.active_parameters() == 46'702'792'704 - INT64_C(32) * 6 * 3 * 4096 * 14336);
  }

  TEST_CASE("engines set caches aside in their own ways") {
    const InferencePlan plan = catalog_plan("openai/gpt-oss-20b");
    const auto cache = [&](CacheEngine engine, std::int64_t context, std::int64_t batch) {
      return plan.memory({.dtype = DType::bfloat16, .context = context, .batch = batch, .engine = engine}).cache.total_bytes;
    };
    // Published for 32 sequences of 8192: 6.09 GiB by windows, 12.00 GiB as vLLM reserves it.
    CHECK(gib(cache(CacheEngine::exact, 8192, 32)) == doctest::Approx(6.09).epsilon(0.001));
    CHECK(cache(CacheEngine::vllm, 8192, 32) == 12 * kGiB);
    // Pages of 16 and cells of 256; the window of 128 with a batch of 512 at work takes 768 cells.
    CHECK(cache(CacheEngine::vllm, 17, 1) == INT64_C(32) * 49152);
    CHECK(cache(CacheEngine::llama_cpp, 257, 1) == INT64_C(512) * 49152);
    CHECK(cache(CacheEngine::llama_cpp, 8192, 1) == INT64_C(8192) * 24576 + INT64_C(768) * 24576);
  }

  TEST_CASE("phases add up, bounds are ordered, and more of anything never takes less") {
    const InferencePlan plan = catalog_plan("google/gemma-2-9b");
    std::int64_t before = 0;
    for (const std::int64_t context : {1, 100, 4095, 4096, 4097, 8192}) {
      const InferenceMemory m = plan.memory({.dtype = DType::bfloat16, .context = context, .engine = CacheEngine::hf});
      CHECK(m.load.expected == m.weights_bytes + m.overhead.expected);
      CHECK(m.prefill.expected == m.load.expected + m.cache.total_bytes + m.prefill_activations.expected);
      CHECK(m.total.low <= m.total.expected);
      CHECK(m.total.expected <= m.total.high);
      CHECK(m.total.expected > before);
      before = m.total.expected;
    }
    const auto prefill = [&](bool eager, bool all_logits) {
      return plan.memory({.context = 4096, .eager_attention = eager, .all_logits = all_logits}).prefill_activations.expected;
    };
    CHECK(prefill(true, false) > prefill(false, false));
    // float32 logits of every token with their 16-bit source.
    CHECK(prefill(false, true) >= INT64_C(4096) * 256000 * 6);
  }

  TEST_CASE("what cannot be told is said") {
    const InferencePlan plan = plan_of(R"({"model_type": "resnet"})");
    CHECK(!plan.memory({.context = 1}).unknown.empty());
    CHECK_THROWS_AS(plan.memory({.context = 0}), UsageError);
    CHECK_THROWS_AS(plan.memory({.context = 1, .batch = -1}), UsageError);
    CHECK_THROWS_AS(catalog_plan("gpt2").memory({.context = INT64_MAX / 2}), FormatError);
  }
}

TEST_SUITE("planning/device_split") {
  TEST_CASE("whole layers in order: nothing is lost, and the fullest holds as little as it can") {
    const InferencePlan plan = catalog_plan("meta-llama/Meta-Llama-3-8B");
    const InferenceMemory memory = plan.memory({.dtype = DType::bfloat16, .context = 8192});
    for (const std::int64_t devices : {1, 2, 3, 7, 32, 40}) {
      CAPTURE(devices);
      const std::vector<DeviceShare> shares = plan.split().over(devices, SplitMode::layers, memory.weights_bytes, 16, memory.cache);
      std::int64_t weights = 0, caches = 0, layers = 0, count = 0;
      for (const DeviceShare& share : shares) {
        CHECK(share.first_device == count);
        if (share.layers > 0) CHECK(share.first_layer == layers);
        weights += share.weights_bytes * share.devices;
        caches += share.cache_bytes * share.devices;
        layers += share.layers * share.devices;
        count += share.devices;
      }
      CHECK(weights == memory.weights_bytes);
      CHECK(caches == memory.cache.total_bytes);
      CHECK(layers == 32);
      CHECK(count == devices);
    }
    // Two of them: the embedding with 16 layers, the head with the others.
    const std::int64_t layer = INT64_C(2) * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096), embedding = INT64_C(2) * 128256 * 4096;
    const std::vector<DeviceShare> two = plan.split().over(2, SplitMode::layers, memory.weights_bytes, 16, memory.cache);
    REQUIRE(two.size() == 2);
    CHECK(two[0].weights_bytes == 16 * layer + embedding);
    CHECK(two[1].cache_bytes == memory.cache.total_bytes / 2);
  }

  TEST_CASE("packed weights: what lies outside of layers stays wide") {
    const InferencePlan plan = catalog_plan("meta-llama/Meta-Llama-3-8B");
    const InferenceMemory memory = plan.memory({.dtype = DType::int4, .context = 1});
    const DeviceShare first = plan.split().over(40, SplitMode::layers, memory.weights_bytes, 4, memory.cache).front();
    CHECK(first.layers == 0);
    CHECK(first.weights_bytes == INT64_C(2) * 128256 * 4096);
  }

  TEST_CASE("divided layers: key-value heads stay whole, latent caches lie everywhere, heads must divide") {
    const InferencePlan llama = catalog_plan("meta-llama/Meta-Llama-3-8B");  // 32 heads, 8 of keys and values
    const auto each = [](const InferencePlan& plan, std::int64_t devices) {
      const InferenceMemory memory = plan.memory({.dtype = DType::bfloat16, .context = 1024});
      return plan.split().over(devices, SplitMode::tensor, memory.weights_bytes, 16, memory.cache).front();
    };
    CHECK(each(llama, 4).cache_bytes == INT64_C(1024) * 131072 / 4);
    CHECK(each(llama, 16).cache_bytes == INT64_C(1024) * 131072 / 8);
    CHECK(each(llama, 4).weights_bytes == (INT64_C(16'060'522'496) + 512 + 3) / 4);
    CHECK(each(catalog_plan("deepseek-ai/DeepSeek-V3"), 8).cache_bytes == INT64_C(1024) * 70272);
    CHECK_THROWS_AS(each(llama, 3), UsageError);
    // Every device has its part of the activations, and all of the hidden states.
    InferenceRequest request{.dtype = DType::bfloat16, .context = 4096, .devices = 4};
    const std::int64_t whole = llama.memory(request).prefill_activations.expected;
    request.split = SplitMode::tensor;
    const std::int64_t part = llama.memory(request).prefill_activations.expected;
    CHECK(part < whole / 2);
    CHECK(part > whole / 4);
  }

  TEST_CASE("engines refuse caches that they do not keep") {
    const InferencePlan plan = catalog_plan("gpt2");
    const auto ask = [&](CacheEngine engine, const char* format, bool eager) {
      return plan.memory({.context = 10, .kv_format = find_kv_format(format), .engine = engine, .eager_attention = eager});
    };
    CHECK_THROWS_WITH_AS(ask(CacheEngine::llama_cpp, "q8_0", true), doctest::Contains("flash attention"), UsageError);
    CHECK_THROWS_AS(ask(CacheEngine::llama_cpp, "fp8", false), UsageError);
    CHECK_THROWS_AS(ask(CacheEngine::vllm, "iq4_nl", false), UsageError);
    CHECK_NOTHROW(ask(CacheEngine::llama_cpp, "q8_0", false));
    CHECK_NOTHROW(ask(CacheEngine::llama_cpp, "bf16", true));
    CHECK_NOTHROW(ask(CacheEngine::vllm, "fp8", true));
    CHECK_NOTHROW(ask(CacheEngine::exact, "q4_0", true));
    CHECK(ask(CacheEngine::bigmodel, "bf16", false).cache.total_bytes * 2 == ask(CacheEngine::bigmodel, "float32", false).cache.total_bytes);
    CHECK_THROWS_AS(ask(CacheEngine::bigmodel, "q8_0", false), UsageError);
    CHECK(plan.memory({.dtype = DType::bfloat16, .context = 10, .engine = CacheEngine::bigmodel}).kv_format.name == "float32");
  }
}

TEST_SUITE("planning/fit") {
  TEST_CASE("the largest context fits and one token more does not") {
    const InferencePlan plan = catalog_plan("meta-llama/Meta-Llama-3-8B");
    const InferenceRequest request{.dtype = DType::bfloat16, .context = 100};
    const DevicePool pool = parse_device_pool("24GiB");
    const auto verdict = [&](std::int64_t context) {
      InferenceRequest r = request;
      r.context = context;
      return fit_inference(plan, r, pool).verdict;
    };
    const std::optional<std::int64_t> most = largest_context(plan, request, pool, 1 << 24);
    REQUIRE(most.has_value());
    CHECK(verdict(*most) == FitVerdict::tight);
    CHECK(verdict(*most + 1) == FitVerdict::no);
    CHECK(verdict(100) == FitVerdict::fits);
    CHECK(largest_context(plan, request, pool, 500) == 500);
    CHECK(!largest_context(plan, request, parse_device_pool("8GiB"), 500).has_value());
    CHECK(fit_inference(plan, request, parse_device_pool("8GiB")).free_bytes < 0);
  }

  TEST_CASE("a batch, and the fewest devices") {
    const InferencePlan plan = catalog_plan("meta-llama/Meta-Llama-3-8B");
    const InferenceRequest request{.dtype = DType::bfloat16, .context = 8192};
    const std::optional<std::int64_t> batch = largest_batch(plan, request, parse_device_pool("80GiB"));
    REQUIRE(batch.has_value());
    CHECK(*batch > 30);
    InferenceRequest more = request;
    more.batch = *batch + 1;
    CHECK(fit_inference(plan, more, parse_device_pool("80GiB")).verdict == FitVerdict::no);
    CHECK(fewest_devices(plan, request, parse_device_pool("24GiB")) == 1);
    const std::optional<std::int64_t> devices = fewest_devices(plan, request, parse_device_pool("8GiB"));
    REQUIRE(devices.has_value());
    CHECK(fit_inference(plan, request, parse_device_pool(std::to_string(*devices) + "x8GiB")).verdict != FitVerdict::no);
    CHECK(fit_inference(plan, request, parse_device_pool(std::to_string(*devices - 1) + "x8GiB")).verdict == FitVerdict::no);
    CHECK(!fewest_devices(plan, request, parse_device_pool("1MiB")).has_value());
  }

  TEST_CASE("devices by name and size") {
    CHECK(parse_device_pool("24GiB").usable_bytes == 24 * kGiB);
    CHECK(parse_device_pool("2x24GiB").count == 2);
    CHECK(parse_device_pool("2xH100-80GB").name == "H100 80GB");
    CHECK(parse_device_pool("H100").name == "H100 80GB");
    CHECK(parse_device_pool("NVIDIA GeForce RTX 4090").name == "RTX 4090");
    CHECK(parse_device_pool("4090").name == "RTX 4090");
    CHECK(parse_device_pool("8 x a100 80gb").count == 8);
    CHECK(parse_device_pool("RTX 4060 Ti").name == "RTX 4060 Ti 16GB");
    CHECK(parse_device_pool("H100 80GB").usable_bytes == INT64_C(81080) << 20);
    for (const DeviceModel& device : device_models()) {
      CHECK(parse_device_pool(device.name).name == device.name);
      CHECK(device.usable_bytes <= device.memory_bytes);
      CHECK(device.usable_bytes > device.memory_bytes * 9 / 10);
    }
    for (const char* wrong : {"", "x", "RTX 9999", "0x24GiB", "-1x24GiB", "1000000xT4", "0GiB", "24", "24gb of memory", "99999999999999999999x T4"}) {
      CHECK_THROWS_AS(parse_device_pool(wrong), UsageError);
    }
    try {
      parse_device_pool("RTX 4091");
    } catch (const UsageError& e) {
      CHECK(e.hint().find("RTX 4090") != std::string::npos);
    }
    // An unknown card: others of its make are named.
    try {
      parse_device_pool("RTX 9999");
      FAIL("no such card");
    } catch (const UsageError& e) {
      CHECK(std::string(e.hint()).find("RTX 4090") != std::string::npos);
    }
  }
}

}  // namespace bigmodel
