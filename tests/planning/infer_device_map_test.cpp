// SPDX-License-Identifier: Apache-2.0
// infer_auto_device_map where the goldens do not look: documented maps, what is mended, steps, limits.
#include "bigmodel/planning/infer_device_map.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"
#include "bigmodel/model/graph_json.h"
#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/planning/reference_sizes.h"
#include "bigmodel/planning/tied_parameters.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

DeviceKey cpu() { return std::string("cpu"); }
DeviceKey disk() { return std::string("disk"); }

MetaGraph tree(const std::string& json) { return parse_graph_json(parse_json(json, "tree"), "tree").graph; }

/// A tree of square 10x10 layers (400 bytes each) by name, nested by dots.
Json linear(const std::string& name, const std::string& class_name = "Linear") {
  return {{"name", name}, {"class", class_name}, {"params", {{"weight", {10, 10}, "float32"}}}};
}

Json container(const std::string& name, std::vector<Json> children, Json buffers = Json::array()) {
  return {{"name", name}, {"class", "Block"}, {"buffers", std::move(buffers)}, {"children", std::move(children)}};
}

MetaGraph graph(std::vector<Json> children, Json ties = Json::array()) {
  Json root = container("", std::move(children));
  root["ties"] = std::move(ties);
  return parse_graph_json(root, "tree").graph;
}

InferredDeviceMap infer(const MetaGraph& g, Budgets budgets, bool mend = false) {
  return infer_auto_device_map(g, {.max_memory = std::move(budgets), .mend = mend});
}

}  // namespace

TEST_SUITE("planning/infer_device_map") {
  TEST_CASE("T0pp in float16 with float32 output projections, as the reference's tests have it") {
    spec::SpecLibrary library(embedded::architectures_files());
    const std::optional<CatalogEntry> entry = find_catalog_entry("bigscience/T0pp");
    REQUIRE(entry.has_value());
    const MetaGraph g = build_meta_graph(library, parse_config(entry->config, "config.json"), {.class_name = "auto", .disk_rules = false});
    DeviceMapRequest r;
    r.max_memory = {{0, 10'000'000'000}, {1, 10'000'000'000}, {cpu(), 10'000'000'000}};
    r.no_split = {"T5Block"};
    r.sizes.dtype = DType::float16;
    const DeviceMap map = infer_auto_device_map(g, r).device_map;
    for (const char* name : {"shared", "encoder.embed_tokens", "decoder.embed_tokens"}) {
      CAPTURE(name);
      const auto it = std::ranges::find(map, std::string(name), &std::pair<std::string, DeviceKey>::first);
      const bool inside = std::ranges::any_of(map, [name](const auto& e) { return std::string(name).starts_with(e.first + "."); });
      CHECK((inside || (it != map.end() && it->second == DeviceKey(0))));
    }
    // The `wo` matrices of 48 blocks stay float32.
    CHECK(ModuleSizes(ExpandedGraph(g), g.tied, r.sizes).total() > ModuleSizes(ExpandedGraph(g), g.tied, {.dtype = DType::bfloat16}).total());
  }

  TEST_CASE("names are compared as paths where mended, as substrings where not") {
    const MetaGraph g = graph({linear("linear1"), container("block", {linear("linear1"), linear("x")}), linear("other")},
                              Json::array({Json::array({"block.linear1.weight", "other.weight"})}));
    CHECK_THROWS_AS(infer(g, {{0, 1400}, {cpu(), 10000}}), ReferenceError);
    const InferredDeviceMap map = infer(g, {{0, 1400}, {cpu(), 10000}}, true);
    CHECK(check_tied_parameters_on_same_device(g.tied, map.device_map).empty());
    CHECK(check_device_map(g, map.device_map).uncovered.empty());
  }

  TEST_CASE("a tie between tensors of the root is found where mended") {
    const MetaGraph g = tree(R"({"class": "M", "params": [["a", [10, 10], "float32"], ["b", [10, 10], "float32"]], "children": [
      {"name": "l", "class": "Linear", "params": [["weight", [10, 10], "float32"]]}], "ties": [["a", "b"]]})");
    CHECK_THROWS_AS(infer(g, {{0, 900}, {cpu(), 5000}}), ReferenceError);
    const DeviceMap map = infer(g, {{0, 900}, {cpu(), 5000}}, true).device_map;
    CHECK(check_tied_parameters_on_same_device(g.tied, map).empty());
    CHECK(check_device_map(g, map).uncovered.empty());
  }

  TEST_CASE("a split module's own buffers get a device where mended") {
    const Json buffer = {{"scale", {1}, "float32", true}};
    const MetaGraph g = graph({container("b0", {linear("fc1"), linear("fc2")}, buffer), container("b1", {linear("fc1"), linear("fc2")}, buffer)});
    const Budgets budgets = {{0, 1000}, {cpu(), 5000}};
    CHECK(check_device_map(g, infer(g, budgets).device_map).uncovered == std::vector<std::string>{"b0.scale"});
    CHECK(check_device_map(g, infer(g, budgets, true).device_map).uncovered.empty());
  }

  TEST_CASE("tells every step") {
    const MetaGraph g = graph({container("a", {linear("x"), linear("y")}), linear("z")});
    std::vector<std::string> steps;
    DeviceMapRequest r;
    r.max_memory = {{0, 800}, {cpu(), 5000}};
    r.observe = [&steps](const PlacementStep& s) {
      constexpr const char* kNames[] = {"placed", "split", "split_tied", "next", "moved"};
      steps.push_back(std::string(kNames[static_cast<int>(s.action)]) + " " + s.name + " " + to_string(s.device));
    };
    const InferredDeviceMap map = infer_auto_device_map(g, r);
    CHECK(steps == std::vector<std::string>{"split a 0", "placed a.x 0", "next a.y 0", "placed a.y cpu", "placed z cpu"});
    REQUIRE(map.loads.size() == 3);
    CHECK(map.loads[0].weights_bytes == 400);
    CHECK(map.loads[0].reserved_bytes == 400);
    CHECK(map.loads[1].weights_bytes == 800);
    CHECK(map.loads[2].device == disk());
    CHECK_FALSE(map.loads[2].budget_bytes.has_value());
  }

  TEST_CASE("odd budgets end on disk, not in trouble") {
    const MetaGraph g = graph({linear("a"), linear("b")});
    for (const ReferenceNumber& bytes : {ReferenceNumber(0), ReferenceNumber(-5), ReferenceNumber(INT64_MIN), ReferenceNumber(std::nan(""))}) {
      CHECK(infer(g, {{0, bytes}, {cpu(), bytes}}).device_map == DeviceMap{{"", disk()}});
    }
    CHECK(infer(g, {{0, INT64_MAX}, {cpu(), INT64_MAX}}).device_map == DeviceMap{{"", std::int64_t{0}}});
    CHECK(infer(g, {}).device_map == DeviceMap{{"", disk()}});
    CHECK(infer(tree(R"({"class": "Empty"})"), {{0, 5}}).device_map.empty());
  }

  TEST_CASE("100,000 blocks are planned at once") {
    std::vector<Json> blocks;
    for (int i = 0; i < 100'000; ++i) blocks.push_back(container(std::to_string(i), {linear("a"), linear("b")}));
    const MetaGraph g = graph(std::move(blocks));
    const InferredDeviceMap map = infer(g, {{0, 20'000'000}, {1, 20'000'000}, {cpu(), 20'000'000}});
    CHECK(map.loads[0].weights_bytes == 20'000'000 - 400);
  }
}

TEST_SUITE("planning/balanced_memory") {
  TEST_CASE("gaps in the numbers of accelerators and a disk are no trouble where mended") {
    const MetaGraph g = graph({linear("a"), linear("b"), linear("c"), linear("d")});
    BalanceRequest r{.max_memory = {{0, 2000}, {2, 2000}, {3, 2000}, {disk(), 5}}, .low_zero = true, .mend = true};
    const Budgets got = get_balanced_memory(g, r).max_memory;
    CHECK(got[0].second == 0);
    CHECK(got[1].second == 800 + 500);
    CHECK(got[2].second == 2000);
    r.mend = false;
    CHECK_THROWS_AS(get_balanced_memory(g, r), ReferenceError);
    r.max_memory.pop_back();
    CHECK_THROWS_AS(get_balanced_memory(g, r), ReferenceError);
  }
}

TEST_SUITE("planning/reference_number") {
  TEST_CASE("prints as Python does") {
    CHECK(to_string(ReferenceNumber(880)) == "880");
    CHECK(to_string(ReferenceNumber(INT64_MIN)) == "-9223372036854775808");
    CHECK(to_string(ReferenceNumber(880.0)) == "880.0");
    CHECK(to_string(ReferenceNumber(47 * 0.9)) == "42.300000000000004");
    CHECK(to_string(ReferenceNumber(1e15)) == "1000000000000000.0");
    CHECK(to_string(ReferenceNumber(1e16)) == "1e+16");
    CHECK(to_string(ReferenceNumber(0.0001)) == "0.0001");
    CHECK(to_string(ReferenceNumber(0.00001)) == "1e-05");
    CHECK(to_string(ReferenceNumber(std::nan(""))) == "nan");
    CHECK(python_repr("it's") == "\"it's\"");
    CHECK(python_repr("a\\b\n\x01'\"") == R"('a\\b\n\x01\'"')");
  }
  TEST_CASE("compares ints and floats exactly") {
    CHECK(ReferenceNumber(INT64_MAX) < ReferenceNumber(9223372036854775808.0));
    CHECK(ReferenceNumber(std::int64_t{9007199254740993}) > ReferenceNumber(9007199254740992.0));
    CHECK(ReferenceNumber(5) == ReferenceNumber(5.0));
    CHECK_FALSE(ReferenceNumber(5) < ReferenceNumber(std::nan("")));
    CHECK_FALSE(ReferenceNumber(5) >= ReferenceNumber(std::nan("")));
    CHECK(ReferenceNumber(INT64_MAX) + ReferenceNumber(INT64_MAX) > ReferenceNumber(INT64_MAX));
    CHECK(to_string(ReferenceNumber(-7).floor_divided(2)) == "-4");
    CHECK_THROWS_AS(ReferenceNumber(1e300).truncated("x"), UsageError);
  }
}

}  // namespace bigmodel
