// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/compare_tensors.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/disk_names.h"

using namespace bigmodel;

namespace {

MetaGraph tiny(const char* cls) {
  spec::SpecLibrary library(embedded::architectures_files());
  return build_meta_graph(library, parse_config(R"({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "vocab_size": 10, "max_position_embeddings": 4})", "config.json"), {.class_name = cls});
}

std::vector<TensorInfo> written(const MetaGraph& graph) {
  std::vector<TensorInfo> out;
  for (const DiskTensor& t : disk_tensors(graph, DType::float32)) out.push_back({t.name, t.dtype, t.shape});
  return out;
}

}  // namespace

TEST_SUITE("model/compare_tensors") {
  TEST_CASE("what the class itself writes agrees, with tied copies, old names and recomputed buffers too") {
    const MetaGraph graph = tiny("BertForMaskedLM");
    std::vector<TensorInfo> tensors = written(graph);
    CHECK(compare_tensors(graph, tensors).agrees());
    tensors.push_back({"cls.predictions.decoder.weight", DType::float32, {10, 8}});
    tensors.push_back({"bert.embeddings.position_ids", DType::int64, {1, 4}});
    for (TensorInfo& t : tensors) {
      if (t.name.ends_with("LayerNorm.weight")) t.name.replace(t.name.size() - 6, 6, "gamma");
    }
    CHECK(compare_tensors(graph, tensors).agrees());
  }

  TEST_CASE("a base model agrees with a file that puts a prefix before it") {
    const MetaGraph graph = tiny("base");
    std::vector<TensorInfo> tensors = written(graph);
    for (TensorInfo& t : tensors) t.name = "bert." + t.name;
    CHECK(compare_tensors(graph, tensors).agrees());
  }

  TEST_CASE("missing, unexpected and reshaped tensors are named") {
    const MetaGraph graph = tiny("base");
    std::vector<TensorInfo> tensors = written(graph);
    tensors[0].shape = {9, 8};
    const std::string gone = tensors[1].name;
    tensors[1].name = "something.else";
    const TensorComparison comparison = compare_tensors(graph, tensors);
    CHECK(comparison.missing == std::vector<std::string>{gone});
    CHECK(comparison.unexpected == std::vector<std::string>{"something.else"});
    REQUIRE(comparison.reshaped.size() == 1);
    CHECK(comparison.reshaped[0].find("expected [10, 8], got [9, 8]") != std::string::npos);
  }
}
