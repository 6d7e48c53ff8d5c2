// SPDX-License-Identifier: Apache-2.0
// Any bytes as a module tree: read, sized, and planned under every policy with budgets around its size. Only a bigmodel::Error may come out,
// and a map that is not accelerate's own leaves nothing out.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/model/graph_json.h"
#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/planning/device_map_policy.h"
#include "bigmodel/planning/optimal_map.h"

namespace {

using namespace bigmodel;

void plan(const GraphJson& tree, std::int64_t total, DevicePolicy policy, bool fallback) {
  PolicyRequest r;
  r.policy = policy;
  r.map.max_memory = {{std::int64_t{0}, total / 3}, {std::int64_t{2}, total / 2}, {std::string("cpu"), total / 4}};
  r.map.no_split = tree.graph.no_split_modules;
  r.map.fallback_allocation = fallback;
  r.map.config_says_tied = tree.config_says_tied;
  try {
    const PolicyMap map = plan_device_map(tree.graph, r);
    const bool whole = check_device_map(tree.graph, map.map.device_map).uncovered.empty();
    if (policy != DevicePolicy::accelerate && !whole) std::abort();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const GraphJson tree = parse_graph_json(parse_json(text, "tree.json"), "tree.json");
    const std::int64_t total = compute_module_sizes(tree.graph, {}).empty() ? 0 : calculate_maximum_sizes(tree.graph, {}).total_bytes.as_bytes();
    for (const DevicePolicy policy : {DevicePolicy::automatic, DevicePolicy::balanced_low_0, DevicePolicy::sequential, DevicePolicy::accelerate}) {
      plan(tree, total, policy, false);
      plan(tree, total, policy, true);
    }
    OptimalRequest optimal;
    optimal.budgets = {{std::int64_t{0}, total / 2}, {std::string("cpu"), total}};
    optimal.placement.no_split = tree.graph.no_split_modules;
    if (!check_device_map(tree.graph, infer_optimal_map(tree.graph, optimal).device_map).uncovered.empty()) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
