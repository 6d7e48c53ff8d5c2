// SPDX-License-Identifier: Apache-2.0
// Weights quantised while they are loaded: which, how well, and the same wherever they lie.
#include "bigmodel/engine/weight_quantization.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/checkpoint/random_tensors.h"
#include "bigmodel/engine/encode_blocks.h"
#include "bigmodel/engine/infer.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/disk_layout.h"
#include "bigmodel/ops/widen.h"

using namespace bigmodel;

namespace {

constexpr const char* kLlama = R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "vocab_size": 40, "tie_word_embeddings": false, "architectures": ["LlamaForCausalLM"]})";
constexpr const char* kMixtral = R"({"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 2, "vocab_size": 40, "num_local_experts": 3, "num_experts_per_tok": 2, "architectures": ["MixtralForCausalLM"]})";

MetaGraph graph_of_config(const char* config) {
  spec::SpecLibrary library(embedded::architectures_files());
  return build_meta_graph(library, parse_config(config, "config.json"), {.class_name = "auto"});
}

std::unique_ptr<LoadedModel> loaded(const char* config, const char* device, std::optional<DType> quantize) {
  MetaGraph graph = graph_of_config(config);
  std::vector<RandomTensor> tensors;
  for (const TensorLayout& layout : tensor_layouts(graph)) {
    if (layout.tensor->persistent) tensors.push_back({{layout.name, DType::float32, layout.tensor->shape}, {.kind = TensorFill::Kind::normal, .deviation = 0.1F}});
  }
  DispatchOptions options;
  options.device_map = {{"", std::string(device)}};
  options.quantize = quantize;
  return load_checkpoint_and_dispatch(std::move(graph), random_checkpoint(std::move(tensors), 5), options);
}

std::vector<float> logits(LoadedModel& model) {
  Tensor ids({1, 6}, DType::int64);
  for (std::int64_t i = 0; i < 6; ++i) ids.i64()[i] = 3 + 5 * i;
  const Tensor out = infer(model, {{"input_ids", ids}}).front().second;
  return {out.f32(), out.f32() + out.count()};
}

double length(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

}  // namespace

TEST_SUITE("engine/weight_quantization") {
  TEST_CASE("blocks hold values to half a step, and extremes exactly") {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(320);
    for (float& v : values) v = normal(random);
    std::fill_n(values.begin(), 32, 0.0F);
    for (const DType dtype : {DType::q8_0, DType::q4_0}) {
      CAPTURE(name(dtype));
      std::vector<std::byte> bytes(static_cast<std::size_t>(byte_count(dtype, 320)));
      CHECK(bytes.size() == (dtype == DType::q8_0 ? 340 : 180));
      encode_blocks(dtype, values, bytes);
      std::vector<float> back(values.size());
      ops::widen({dtype, {320}, bytes.data()}, 0, 320, back.data());
      for (std::size_t b = 0; b < values.size(); b += 32) {
        float top = 0;
        for (std::size_t i = b; i < b + 32; ++i) top = std::max(top, std::abs(values[i]));
        // Half a step of the largest number, and a float16's rounding of the step; four bits have no 8, so that its opposite falls a whole step short.
        const float step = dtype == DType::q8_0 ? top / 127 * 0.5F : top / 8;
        for (std::size_t i = b; i < b + 32; ++i) CHECK(std::abs(back[i] - values[i]) <= step * 1.01F + top * 0.001F);
      }
    }
  }

  TEST_CASE("what is no number stays none, what is huge stays finite") {
    for (const DType dtype : {DType::q8_0, DType::q4_0}) {
      std::vector<float> values(64, 1.0F), back(64);
      values[3] = std::numeric_limits<float>::quiet_NaN();
      values[40] = std::numeric_limits<float>::max();
      std::vector<std::byte> bytes(static_cast<std::size_t>(byte_count(dtype, 64)));
      encode_blocks(dtype, values, bytes);
      ops::widen({dtype, {64}, bytes.data()}, 0, 64, back.data());
      CHECK(std::isnan(back[0]));
      CHECK(std::isfinite(back[40]));
      CHECK(back[40] > 1e5F);
    }
  }

  TEST_CASE("matrices of layers are quantised, nothing else is") {
    const std::vector<std::string> llama = quantizable_weights(graph_of_config(kLlama));
    CHECK(llama.size() == 14);
    CHECK(llama.front() == "model.layers.0.self_attn.q_proj.weight");
    CHECK(std::ranges::find(llama, "lm_head.weight") == llama.end());
    const std::vector<std::string> mixtral = quantizable_weights(graph_of_config(kMixtral));
    CHECK(mixtral.size() == 6);
    CHECK(std::ranges::find(mixtral, "model.layers.0.mlp.experts.gate_up_proj") != mixtral.end());
    CHECK(std::ranges::none_of(mixtral, [](const std::string& n) { return n.ends_with("gate.weight"); }));
  }

  TEST_CASE("a quantised model is near the model, and the same from RAM and from disk") {
    for (const char* config : {kLlama, kMixtral}) {
      const std::vector<float> exact = logits(*loaded(config, "cpu", std::nullopt));
      for (const DType dtype : {DType::q8_0, DType::q4_0}) {
        CAPTURE(name(dtype));
        const auto model = loaded(config, "cpu", dtype);
        const std::vector<float> near = logits(*model);
        CHECK(near == logits(*loaded(config, "disk", dtype)));
        std::vector<float> difference = near;
        for (std::size_t i = 0; i < near.size(); ++i) difference[i] -= exact[i];
        const double error = length(difference) / length(exact);
        CHECK(error > 0);
        CHECK(error < (dtype == DType::q8_0 ? 0.02 : 0.25));
      }
    }
  }
}
