// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/meta_graph.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/disk_names.h"

using namespace bigmodel;

namespace {

MetaGraph built(const char* config, const char* cls = "base") {
  spec::SpecLibrary library(embedded::architectures_files());
  return build_meta_graph(library, parse_config(config, "config.json"), {.class_name = cls});
}

constexpr const char* kBert = R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 28996})";

}  // namespace

TEST_SUITE("model/meta_graph") {
  TEST_CASE("bert-base-cased has its published numbers") {
    const MetaGraph graph = built(kBert);
    const GraphTotals totals = graph_totals(graph);
    CHECK(totals.parameters == 108310272);
    CHECK(totals.buffers == 1024);
    CHECK(totals.tensors == 201);
    CHECK(graph.class_name == "BertModel");
    CHECK(graph.no_split_modules == std::vector<std::string>{"BertEmbeddings", "BertLayer"});
    CHECK(find_module(graph, "encoder.layer.11.attention.self.query")->layer_kind == "Linear");
    CHECK(find_module(graph, "encoder.layer.12") == nullptr);
    CHECK(find_module(graph, "encoder.layer.01") == nullptr);
  }

  TEST_CASE("repeated layers are stored once") {
    const MetaGraph graph = built(R"({"model_type": "deepseek_v3"})");
    std::set<const ModuleTemplate*> distinct;
    std::size_t modules = 0;
    for_each_module(graph, [&](const std::string&, const ModuleTemplate& m) {
      distinct.insert(&m);
      ++modules;
    });
    CHECK(modules > 1000);
    CHECK(distinct.size() < 60);
    const ModuleTemplate* layers = find_module(graph, "layers");
    REQUIRE(layers != nullptr);
    CHECK(layers->children.size() == 2);
    CHECK(layers->children[0].count == 3);
    CHECK(layers->children[1].count == 58);
  }

  TEST_CASE("the class is chosen by name, and a typo gets the nearest") {
    CHECK(built(kBert, "auto").class_name == "BertForMaskedLM");
    CHECK(built(kBert, "BertForQuestionAnswering").class_name == "BertForQuestionAnswering");
    CHECK_THROWS_WITH_AS(built(kBert, "BertForMaskdLM"), doctest::Contains("did you mean 'BertForMaskedLM'?"), NotFoundError);
  }

  TEST_CASE("an unknown type names its neighbours and remote code is refused") {
    CHECK_THROWS_WITH_AS(built(R"({"model_type": "llamma"})"), doctest::Contains("llama"), UnsupportedError);
    CHECK_THROWS_WITH_AS(built(R"({"model_type": "myown", "auto_map": {"AutoModel": "m.M"}})"), doctest::Contains("remote code"),
                         UnsupportedError);
  }

  TEST_CASE("float16 leaves T5's wo in float32 and never changes integers") {
    const MetaGraph graph = built(R"({"model_type": "t5"})");
    bool seen = false;
    for_each_tensor(graph, [&seen](const TensorVisit& t) {
      const DType half = resolved_dtype(t.tensor, DType::float16);
      if (t.name.find(".wo.") == std::string::npos) {
        if (!t.is_buffer) CHECK(half == DType::float16);
        return;
      }
      seen = true;
      CHECK(half == DType::float32);
      CHECK(resolved_dtype(t.tensor, DType::bfloat16) == DType::bfloat16);
    });
    CHECK(seen);
    CHECK(resolved_dtype(find_module(built(kBert), "embeddings")->buffers.front(), DType::float16) == DType::int64);
  }

  TEST_CASE("structural keys that nobody reads are warned about, others noted") {
    const MetaGraph graph = built(R"({"model_type": "bert", "hiden_size": 3, "hidden_dropout_prob": 0.1, "use_cache": true})");
    REQUIRE(graph.warnings.size() == 1);
    CHECK(graph.warnings[0].find("key 'hiden_size' is not used by model type 'bert'; did you mean 'hidden_size'?") != std::string::npos);
    CHECK(graph.notes.size() >= 1);
  }

  TEST_CASE("names on disk follow the description's rules") {
    const MetaGraph graph = built(R"({"model_type": "mixtral", "num_hidden_layers": 1, "num_local_experts": 2, "hidden_size": 8,
      "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 10})");
    std::set<std::string> names;
    for (const DiskTensor& t : disk_tensors(graph, DType::bfloat16)) {
      names.insert(t.name + to_string(t.shape));
      CHECK(t.dtype == DType::bfloat16);
    }
    CHECK(names.contains("layers.0.block_sparse_moe.experts.1.w1.weight[16, 8]"));
    CHECK(names.contains("layers.0.block_sparse_moe.experts.1.w2.weight[8, 16]"));
    CHECK(names.contains("layers.0.block_sparse_moe.gate.weight[2, 8]"));
    CHECK_FALSE(names.contains("layers.0.mlp.experts.gate_up_proj[2, 32, 8]"));
  }

  TEST_CASE("a disk path may hold expressions: files list by kind what memory lists by stage") {
    const MetaGraph graph = built(R"({"model_type": "segformer", "depths": [1, 1, 1, 1]})");
    std::set<std::string> names;
    for (const DiskTensor& t : disk_tensors(graph, DType::float32)) names.insert(t.name);
    CHECK(names.contains("encoder.patch_embeddings.2.proj.weight"));
    CHECK(names.contains("encoder.block.3.0.attention.self.query.weight"));
    CHECK(names.contains("encoder.layer_norm.0.bias"));
    CHECK_FALSE(names.contains("stages.0.layer_norm.bias"));
  }
}
