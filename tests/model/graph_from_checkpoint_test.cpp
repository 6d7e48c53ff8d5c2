// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/graph_from_checkpoint.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/disk_names.h"

using namespace bigmodel;

namespace {

const Config kConfig{.where = "config.json", .model_type = "made_up"};

MetaGraph graph_of(std::vector<TensorInfo> tensors, std::vector<std::vector<std::string>> tied = {}) {
  return graph_from_checkpoint(kConfig, tensors, tied);
}

std::vector<std::string> names_of(const MetaGraph& graph) {
  std::vector<std::string> out;
  for_each_tensor(graph, [&](const TensorVisit& t) { out.push_back(fmt::format("{} {}", t.is_buffer ? "b" : "p", t.name)); });
  return out;
}

std::string refusal(std::vector<TensorInfo> tensors) {
  try {
    graph_of(std::move(tensors));
  } catch (const FormatError& e) {
    return e.message();
  }
  return "accepted";
}

}  // namespace

TEST_SUITE("model/graph_from_checkpoint") {
  TEST_CASE("numbered modules are sorted by number, folded where equal, and one block each") {
    const Shape square{4, 4};
    const MetaGraph graph = graph_of({{"h.10.fc.weight", DType::bfloat16, square},
                                      {"h.2.fc.weight", DType::bfloat16, square},
                                      {"h.9.fc.weight", DType::bfloat16, square},
                                      {"h.3.fc.weight", DType::bfloat16, {4, 8}},
                                      {"norm.weight", DType::bfloat16, {4}}});
    CHECK(names_of(graph) == std::vector<std::string>{"p h.2.fc.weight", "p h.3.fc.weight", "p h.9.fc.weight", "p h.10.fc.weight",
                                                      "p norm.weight"});
    const ModuleTemplate& list = *graph.root->children.front().module;
    CHECK(list.class_name == "ModuleList");
    REQUIRE(list.children.size() == 3);
    CHECK(list.children[2].first_index == 9);
    CHECK(list.children[2].count == 2);
    CHECK(list.children[0].module == list.children[2].module);
    CHECK(graph.no_split_modules == std::vector<std::string>{list.children[0].module->class_name});
    CHECK(list.children[0].module->children[0].module->class_name == "Module");
    CHECK(graph.root->module_count == 11);
    CHECK(graph.stored_dtype == DType::bfloat16);
    CHECK_FALSE(graph.assumptions.empty());
  }

  TEST_CASE("only the outermost numbers are blocks") {
    const MetaGraph graph = graph_of({{"layers.0.experts.0.w", DType::float32, {2}}, {"layers.0.experts.1.w", DType::float32, {2}}});
    const ModuleTemplate& block = *graph.root->children[0].module->children[0].module;
    CHECK(block.class_name == graph.no_split_modules.front());
    CHECK(block.children[0].module->children[0].module->class_name == "Module");
  }

  TEST_CASE("whole numbers and running statistics are buffers; packed types keep their dtype") {
    const MetaGraph graph = graph_of({{"bn.weight", DType::float32, {3}},
                                      {"bn.running_mean", DType::float32, {3}},
                                      {"bn.num_batches_tracked", DType::int64, {}},
                                      {"fc.weight", DType::float8_e4m3fn, {3, 3}}});
    CHECK(names_of(graph) == std::vector<std::string>{"p bn.weight", "p fc.weight", "b bn.running_mean", "b bn.num_batches_tracked"});
    for_each_tensor(graph, [](const TensorVisit& t) {
      if (t.name == "fc.weight") CHECK(resolved_dtype(t.tensor, DType::float16) == DType::float8_e4m3fn);
      if (t.name == "bn.weight") CHECK(resolved_dtype(t.tensor, DType::float16) == DType::float16);
      if (t.name == "bn.num_batches_tracked") CHECK(resolved_dtype(t.tensor, DType::float16) == DType::int64);
    });
  }

  TEST_CASE("tensors that share memory count once") {
    const MetaGraph graph =
        graph_of({{"head.weight", DType::float32, {5, 2}}, {"wte.weight", DType::float32, {5, 2}}}, {{"head.weight", "wte.weight"}});
    CHECK(graph_totals(graph).parameters == 10);
  }

  TEST_CASE("a described model's file gives the same parameters") {
    spec::SpecLibrary library(embedded::architectures_files());
    const MetaGraph described = build_meta_graph(library, parse_config(R"({"model_type": "llama", "num_hidden_layers": 12, "hidden_size": 32,
      "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 10})", "config.json"), {.class_name = "LlamaForCausalLM"});
    std::vector<TensorInfo> file;
    for (const DiskTensor& t : disk_tensors(described, DType::bfloat16)) file.push_back({t.name, t.dtype, t.shape});
    const MetaGraph named = graph_of(file);
    CHECK(graph_totals(named).parameters == graph_totals(described).parameters);
    std::set<std::string> wanted;
    std::set<std::string> got;
    for (const TensorInfo& t : file) wanted.insert(t.name);
    for_each_tensor(named, [&](const TensorVisit& t) { got.insert(t.name); });
    CHECK(got == wanted);
  }

  TEST_CASE("names that are no tree are refused") {
    CHECK(refusal({}) == "config.json: the checkpoint beside it has no tensors");
    CHECK(refusal({{"a..b", DType::float32, {1}}}) == "config.json: tensor 'a..b' has an empty part");
    CHECK(refusal({{"", DType::float32, {1}}}) == "config.json: tensor '' has an empty part");
    CHECK(refusal({{"a", DType::float32, {1}}, {"a", DType::float32, {1}}}) == "config.json: tensor 'a' is there twice");
    CHECK(refusal({{"a", DType::float32, {1}}, {"a.b", DType::float32, {1}}}) ==
          "config.json: tensor 'a' is a tensor and a module at once");
    CHECK(refusal({{"a.b", DType::float32, {1}}, {"a", DType::float32, {1}}}) ==
          "config.json: tensor 'a' is a tensor and a module at once");
    std::string deep = "a";
    for (int i = 0; i < 64; ++i) deep += ".a";
    CHECK(refusal({{deep, DType::float32, {1}}}).ends_with("has more than 64 parts"));
    CHECK(refusal({{deep.substr(2), DType::float32, {1}}}) == "accepted");
  }
}
