// SPDX-License-Identifier: Apache-2.0
// The policies on trees where the reference raises or forgets: there is always a whole map.
#include "bigmodel/planning/device_map_policy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "bigmodel/core/error.h"
#include "bigmodel/model/graph_json.h"
#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/planning/reference_sizes.h"
#include "bigmodel/planning/tied_parameters.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

DeviceKey key(const char* name) { return std::string(name); }

struct Tally {
  int maps = 0, mended = 0, raised = 0;
};

/// Random budgets around the size of the tree, under every policy.
void plan_tree(const Json& record, std::mt19937& random, Tally& tally) {
  const GraphJson tree = parse_graph_json(record, "tree");
  const std::string id = record.at("id");
  const std::int64_t total = ModuleSizes(ExpandedGraph(tree.graph), tree.graph.tied, {}).total().as_bytes();
  const auto some = [&](std::int64_t most) { return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most + 1)); };
  for (int i = 0; i < 6; ++i) {
    PolicyRequest r;
    for (std::int64_t d = some(2); d < 4; d += 1 + some(1)) r.map.max_memory.emplace_back(d, some(total));
    if (some(1) == 0) r.map.max_memory.emplace_back(key("cpu"), some(total));
    r.map.fallback_allocation = some(2) == 0;
    r.user_gave_max_memory = some(3) != 0;
    if (some(1) == 0) r.map.no_split = tree.graph.no_split_modules;
    for (const DevicePolicy policy : {DevicePolicy::automatic, DevicePolicy::balanced, DevicePolicy::balanced_low_0, DevicePolicy::sequential}) {
      r.policy = policy;
      INFO(id, " ", to_string(policy));
      const PolicyMap got = plan_device_map(tree.graph, r);
      ++tally.maps;
      CHECK(check_device_map(tree.graph, got.map.device_map).uncovered.empty());
      const bool mended = std::ranges::any_of(got.notes, [](const std::string& note) { return note.starts_with("accelerate"); });
      tally.mended += mended ? 1 : 0;
      CHECK(check_tied_parameters_on_same_device(find_tied_parameters(tree.graph), got.map.device_map).empty());
      for (const DeviceLoad& load : got.map.loads) {
        if (load.budget_bytes && mended) CHECK(load.weights_bytes <= *load.budget_bytes);
      }
    }
    r.policy = DevicePolicy::accelerate;
    try {
      plan_device_map(tree.graph, r);
    } catch (const ReferenceError&) {
      ++tally.raised;
    }
  }
}

}  // namespace

TEST_SUITE("planning/device_map_policy") {
  TEST_CASE("names and back") {
    for (const char* name : {"auto", "balanced", "balanced_low_0", "sequential", "accelerate", "optimal"}) {
      REQUIRE(find_device_policy(name).has_value());
      CHECK(to_string(*find_device_policy(name)) == name);
    }
    CHECK_FALSE(find_device_policy("best").has_value());
  }

  TEST_CASE("every tensor has a place, within the budgets, ties together, whatever the reference does") {
    std::mt19937 random(11);
    Tally tally;
    for_each_record(golden_path("planning/trees.jsonl.xz"), [&](const Json& record) { plan_tree(record, random, tally); });
    if (const auto path = shared_path("goldens/device_maps/trees.jsonl.xz")) {
      for_each_record(*path, [&](const Json& record) { plan_tree(record, random, tally); });
    }
    MESSAGE(tally.maps, " maps, ", tally.mended, " where the reference has none or forgets tensors; it raised ", tally.raised, " times");
    CHECK(tally.mended > 20);
    CHECK(tally.raised > 5);
  }

  TEST_CASE("a limit of disk is kept, and budgets that make no sense are refused") {
    const MetaGraph g = parse_graph_json(Json::parse(R"({"class": "M", "children": [{"name": "a", "class": "L", "params": [["w", [100], "float32"]]}]})"), "t").graph;
    PolicyRequest r;
    r.map.max_memory = {{0, 10}, {key("disk"), 300}};
    CHECK(plan_device_map(g, r).missing_bytes == 100);
    r.map.max_memory[1].second = 400;
    CHECK(plan_device_map(g, r).missing_bytes == 0);
    r.map.max_memory[0].second = -1;
    CHECK_THROWS_AS(plan_device_map(g, r), UsageError);
    r.map.max_memory[0].second = std::nan("");
    CHECK_THROWS_AS(plan_device_map(g, r), UsageError);
    r.policy = DevicePolicy::accelerate;
    CHECK(plan_device_map(g, r).map.device_map == DeviceMap{{"a", key("disk")}});
  }
}

}  // namespace bigmodel::test
