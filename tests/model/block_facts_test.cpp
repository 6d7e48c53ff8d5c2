// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/block_facts.h"

#include <doctest/doctest.h>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"

using namespace bigmodel;

namespace {

MetaGraph built(const char* config) {
  spec::SpecLibrary library(embedded::architectures_files());
  return build_meta_graph(library, parse_config(config, "config.json"), {.class_name = "auto"});
}

}  // namespace

TEST_SUITE("model/block_facts") {
  TEST_CASE("the attention of a llama layer states its heads and names its projections") {
    const MetaGraph graph = built(
        R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 64})");
    const ModuleTemplate* attention = find_module(graph, "model.layers.3.self_attn");
    REQUIRE(attention != nullptr);
    REQUIRE(attention->block.has_value());
    const Block& block = *attention->block;
    CHECK(block.kind == "attention");
    CHECK(integer_property(block, "kv_heads") == 2);
    CHECK(number_property(block, "scale") == doctest::Approx(0.35355339));
    CHECK(number_property(block, "heads") == 8.0);
    CHECK(text_property(block, "rope") == "half");
    CHECK(flag_property(block, "causal"));
    CHECK_FALSE(integer_property(block, "window").has_value());
    CHECK(find_property(block, "q_norm") == nullptr);
    CHECK(member_path(block, "k") == "k_proj");
    REQUIRE(member_module(*attention, "k") != nullptr);
    CHECK(find_parameter(*member_module(*attention, "k"), "weight")->shape == Shape{16, 64});
    CHECK(member_module(*attention, "q_norm") == nullptr);
    CHECK_THROWS_WITH_AS(integer_property(block, "rope"), doctest::Contains("property 'rope' has the wrong kind"), FormatError);
    CHECK_THROWS_AS(text_property(block, "heads"), FormatError);
  }

  TEST_CASE("members may lie deeper, and may be tensors") {
    const MetaGraph bert = built(R"({"model_type": "bert"})");
    const ModuleTemplate* attention = find_module(bert, "encoder.layer.0.attention");
    REQUIRE(attention != nullptr);
    CHECK(member_module(*attention, "q")->layer_kind == "Linear");
    CHECK(member_path(*attention->block, "q") == "self.query");
    const MetaGraph mamba = built(R"({"model_type": "mamba", "hidden_size": 8, "state_size": 4})");
    const ModuleTemplate* mixer = find_module(mamba, "layers.0.mixer");
    REQUIRE(mixer != nullptr);
    CHECK(member_tensor(*mixer, "A_log")->shape == Shape{16, 4});
    CHECK(member_module(*mixer, "A_log") == nullptr);
    CHECK(member_tensor(*mixer, "conv") == nullptr);
  }
}
