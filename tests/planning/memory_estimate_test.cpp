// SPDX-License-Identifier: Apache-2.0
// Estimates of graphs small enough to add up by hand.
#include "bigmodel/planning/memory_estimate.h"

#include <doctest/doctest.h>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

using Template = std::shared_ptr<ModuleTemplate>;

Template module(std::string class_name, std::vector<TensorTemplate> parameters = {}) {
  auto out = std::make_shared<ModuleTemplate>();
  out->class_name = std::move(class_name);
  out->parameters = std::move(parameters);
  return out;
}

TensorTemplate tensor(std::string name, Shape shape, std::optional<DType> dtype = std::nullopt) {
  return {.name = std::move(name), .shape = std::move(shape), .dtype = dtype};
}

ModuleChild child(std::string name, Template of, std::int64_t count = 1) {
  return {.name = std::move(name), .first_index = 0, .count = count, .module = std::move(of)};
}

/// embed [10, 4]; layers.0-2 of {attn.q [4, 4], mlp [4, 8]}; norm [4] with an int64 buffer [2]; head [10, 4].
MetaGraph sample() {
  const Template attn = module("Attention");
  attn->children = {child("q", module("Linear", {tensor("weight", {4, 4})}))};
  const Template layer = module("Layer");
  layer->children = {child("attn", attn), child("mlp", module("Linear", {tensor("weight", {4, 8})}))};
  const Template layers = module("ModuleList");
  layers->children = {child("0", layer, 3)};
  const Template norm = module("Norm", {tensor("weight", {4})});
  norm->buffers = {tensor("steps", {2}, DType::int64)};
  const Template root = module("Model");
  root->children = {child("embed", module("Embedding", {tensor("weight", {10, 4})})), child("layers", layers),
                    child("norm", norm), child("head", module("Linear", {tensor("weight", {10, 4})}))};
  MetaGraph graph;
  graph.root = root;
  return graph;
}

constexpr DType kFour[] = {DType::float32, DType::float16, DType::int8, DType::int4};

}  // namespace

TEST_SUITE("planning/memory_estimate") {
  TEST_CASE("adds every tensor up, buffers in their own dtype") {
    // 40 + 3 * (16 + 32) + 4 + 40 float32 and 2 int64: 228 * 4 + 16
    const MemoryEstimate e = estimate_memory(sample(), kFour);
    CHECK(e.float32_total_bytes == 928);
    CHECK(e.dtypes[0].total_bytes == 928);
    CHECK(e.dtypes[1].total_bytes == 464);
    CHECK(e.dtypes[2].total_bytes == 232);
    CHECK(e.dtypes[3].total_bytes == 116);
    CHECK(e.dtypes[1].training_adam_bytes == 4 * 464);
  }

  TEST_CASE("names every leaf that is the largest, in module order") {
    const MemoryEstimate e = estimate_memory(sample(), kFour);
    CHECK(e.dtypes[0].largest_layer_bytes == 160);
    CHECK(e.largest_modules == std::vector<std::string>{"embed", "head"});
  }

  TEST_CASE("takes a class that is not split as one layer") {
    MetaGraph graph = sample();
    graph.no_split_modules = {"Layer"};
    const MemoryEstimate e = estimate_memory(graph, kFour);
    CHECK(e.dtypes[0].largest_layer_bytes == 192);
    CHECK(e.largest_modules == std::vector<std::string>{"layers.0", "layers.1", "layers.2"});
  }

  TEST_CASE("counts a tied tensor where its first name stands") {
    MetaGraph graph = sample();
    graph.tied = {{"embed.weight", "head.weight"}};
    const MemoryEstimate e = estimate_memory(graph, kFour);
    CHECK(e.dtypes[0].total_bytes == 928 - 160);
    CHECK(e.largest_modules == std::vector<std::string>{"embed"});
  }

  TEST_CASE("counts a tie between repeated layers once") {
    MetaGraph graph = sample();
    graph.no_split_modules = {"Layer"};
    graph.tied = {{"layers.0.mlp.weight", "layers.2.mlp.weight"}};
    const MemoryEstimate e = estimate_memory(graph, kFour);
    CHECK(e.dtypes[0].total_bytes == 928 - 128);
    CHECK(e.largest_modules == std::vector<std::string>{"layers.0", "layers.1"});
  }

  TEST_CASE("takes tensors of the root itself as layers, but not those of a module that is split") {
    MetaGraph graph = sample();
    auto root = std::make_shared<ModuleTemplate>(*graph.root);
    root->parameters = {tensor("scale", {50})};
    auto layers = std::make_shared<ModuleTemplate>(*root->children[1].module);
    layers->parameters = {tensor("big", {1000})};
    root->children[1].module = layers;
    graph.root = root;
    const MemoryEstimate e = estimate_memory(graph, kFour);
    CHECK(e.dtypes[0].total_bytes == 928 + 200 + 4000);
    CHECK(e.dtypes[0].largest_layer_bytes == 200);
    CHECK(e.largest_modules == std::vector<std::string>{"scale"});
  }

  TEST_CASE("counts a bool as an eighth of a byte and rounds rows down") {
    MetaGraph graph = sample();
    auto root = std::make_shared<ModuleTemplate>(*graph.root);
    root->buffers = {tensor("mask", {1, 3}, DType::boolean)};
    graph.root = root;
    const MemoryEstimate e = estimate_memory(graph, kFour);
    CHECK(e.float32_total_bytes == 928.375);
    CHECK(e.dtypes[0].total_bytes == 928);
    CHECK(e.dtypes[3].total_bytes == 116);
  }

  TEST_CASE("refuses sizes beyond 64 bits") {
    MetaGraph graph;
    graph.root = module("Model", {tensor("weight", {std::int64_t{1} << 31, std::int64_t{1} << 31})});
    CHECK_THROWS_AS(estimate_memory(graph, kFour), FormatError);
  }

  TEST_CASE("finishes at once for a million equal layers") {
    MetaGraph graph = sample();
    auto root = std::make_shared<ModuleTemplate>(*graph.root);
    auto layers = std::make_shared<ModuleTemplate>(*root->children[1].module);
    layers->children[0].count = 1'000'000;
    root->children[1].module = layers;
    graph.root = root;
    const MemoryEstimate e = estimate_memory(graph, kFour);
    CHECK(e.dtypes[0].total_bytes == 928 + 999'997LL * 192);
    CHECK(e.largest_modules == std::vector<std::string>{"embed", "head"});
  }
}

}  // namespace bigmodel
