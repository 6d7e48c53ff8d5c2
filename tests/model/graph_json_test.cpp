// SPDX-License-Identifier: Apache-2.0
// Module trees as JSON: what is read, what is refused, and that writing gives back what was read.
#include "bigmodel/model/graph_json.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

GraphJson read(const std::string& json) { return parse_graph_json(parse_json(json, "tree.json"), "tree.json"); }

const std::string kTwo = R"({"name": "", "class": "Root", "parameters": [["scale", [], "float32"]], "buffers": [], "children": [
  {"name": "0", "class": "Linear", "parameters": [["weight", [4, 8], "bfloat16"]], "buffers": [["mask", [2], "bool", false]], "children": []},
  {"name": "1", "class": "Linear", "parameters": [["weight", [4, 8], "bfloat16"]], "buffers": [["mask", [2], "bool", false]], "children": []}],
  "ties": [["0.weight", "1.weight"]]})";

}  // namespace

TEST_SUITE("model/graph_json") {
  TEST_CASE("reads, folds equal layers, and writes what it read") {
    const MetaGraph g = read(kTwo).graph;
    CHECK(g.class_name == "Root");
    REQUIRE(g.root->children.size() == 1);
    CHECK(g.root->children[0].count == 2);
    CHECK(g.root->module_count == 3);
    CHECK(g.tied == std::vector<std::vector<std::string>>{{"0.weight", "1.weight"}});
    CHECK(to_graph_json(g, DType::float32) == parse_json(kTwo, "tree.json"));
  }

  TEST_CASE("takes the form of records: params, ties beside the tree") {
    const GraphJson g = read(R"({"graph_json": {"name": "", "class": "R", "params": [["b", [2], null], ["a", [2]]]}, "ties": [["a", "b"]],
      "config_says_tied": true, "no_split_modules": ["Z", "A"], "model_type": "x"})");
    CHECK(g.config_says_tied);
    CHECK(g.graph.model_type == "x");
    CHECK(g.graph.no_split_modules == std::vector<std::string>{"A", "Z"});
    CHECK(g.graph.tied == std::vector<std::vector<std::string>>{{"b", "a"}});
    CHECK_FALSE(g.graph.root->parameters[0].dtype.has_value());
  }

  TEST_CASE("refuses what PyTorch could not build, by the module's name") {
    const auto refused = [](const std::string& json, const char* text) {
      CAPTURE(json);
      CHECK_THROWS_WITH_AS(read(json), doctest::Contains(text), FormatError);
    };
    refused("[]", "expected a module tree");
    refused(R"({"children": 5})", "children: expected a list");
    refused(R"({"children": [5]})", "expected a child as an object");
    refused(R"({"children": [{}]})", "a child without a name");
    refused(R"({"children": [{"name": ""}]})", "an empty name");
    refused(R"({"children": [{"name": "a", "children": [{"name": "b.c"}]}]})", "module 'a': name 'b.c' has a dot");
    refused(R"({"children": [{"name": "a"}, {"name": "a"}]})", "'a' is given twice");
    refused(R"({"params": [["a", [1], "float32"]], "buffers": [["a", [1], "float32", true]]})", "'a' is given twice");
    refused(R"({"params": [["a", [1], "float99"]]})", "expected a dtype, got \"float99\"");
    refused(R"({"params": [["a", [-1], "float32"]]})", "a");
    refused(R"({"params": [["a", [1.5], "float32"]]})", "whole dimensions");
    refused(R"({"params": [["a", [9223372036854775807, 9], "float32"]]})", "too large");
    refused(R"({"params": [["a", [18446744073709551615], "float32"]]})", "whole dimensions");
    refused(R"({"params": [["a", [1], "float32", true]]})", "expected [name, shape, dtype]");
    refused(R"({"buffers": [["a", [1], "float32", 1]]})", "true or false");
    refused(R"({"params": [["a", [1]]], "ties": 5})", "ties: expected a list");
    refused(R"({"params": [["a", [1]]], "ties": [["a"]]})", "at least two");
    refused(R"({"params": [["a", [1]]], "ties": [["a", "c"]]})", "'c' is no parameter");
    refused(R"({"params": [["a", [1]], ["b", [1]]], "ties": [["a", "b"], ["a", "b"]]})", "stands in two places");
    refused(R"({"params": [["a", [1]], ["b", [2]]], "ties": [["a", "b"]]})", "differ in shape or dtype");
    refused(R"({"class": 5})", "class: expected text");
    std::string deep = R"({"name": "x"})";
    for (int i = 0; i < 300; ++i) deep.insert(0, R"({"name": "x", "children": [)").append("]}");
    CHECK_THROWS_AS(read(deep), FormatError);
  }
}

}  // namespace bigmodel
