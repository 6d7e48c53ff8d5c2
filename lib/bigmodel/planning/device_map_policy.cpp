// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/device_map_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bigmodel/core/error.h"
#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/planning/reference_sizes.h"
#include "bigmodel/planning/tied_parameters.h"

namespace bigmodel {
namespace {

constexpr std::array<std::pair<DevicePolicy, std::string_view>, 6> kNames{{{DevicePolicy::automatic, "auto"},
                                                                           {DevicePolicy::balanced, "balanced"},
                                                                           {DevicePolicy::balanced_low_0, "balanced_low_0"},
                                                                           {DevicePolicy::sequential, "sequential"},
                                                                           {DevicePolicy::accelerate, "accelerate"},
                                                                           {DevicePolicy::optimal, "optimal"}}};

bool is_disk(const DeviceKey& device) {
  const auto* text = std::get_if<std::string>(&device);
  return text != nullptr && *text == "disk";
}

PolicyMap attempt(const MetaGraph& graph, const PolicyRequest& request, bool mend) {
  PolicyMap out;
  DeviceMapRequest map = request.map;
  map.mend = mend;
  if (request.policy != DevicePolicy::sequential && request.policy != DevicePolicy::accelerate) {
    BalancedMemory balanced = get_balanced_memory(graph, {.max_memory = map.max_memory,
                                                          .user_gave_max_memory = request.user_gave_max_memory,
                                                          .no_split = map.no_split,
                                                          .sizes = map.sizes,
                                                          .low_zero = request.policy == DevicePolicy::balanced_low_0,
                                                          .mend = mend});
    map.max_memory = std::move(balanced.max_memory);
    out.notes = std::move(balanced.notes);
  }
  out.map = infer_auto_device_map(graph, map);
  return out;
}

void check_budgets(const Budgets& budgets) {
  for (const auto& [device, bytes] : budgets) {
    if (bytes >= 0) continue;
    throw UsageError(fmt::format("budget of device {}: expected bytes, got {}", to_string(device), to_string(bytes)),
                     "only --policy accelerate takes such a budget, as the reference does");
  }
}

void limit_disk(const Budgets& budgets, PolicyMap& out) {
  const auto given = std::ranges::find_if(budgets, [](const auto& b) { return is_disk(b.first); });
  if (given == budgets.end()) return;
  DeviceLoad& disk = out.map.loads.back();
  disk.budget_bytes = given->second;
  if (disk.weights_bytes > given->second) out.missing_bytes = disk.weights_bytes - given->second;
}

}  // namespace

std::string_view to_string(DevicePolicy policy) noexcept {
  for (const auto& [value, name] : kNames) {
    if (value == policy) return name;
  }
  return "";
}

std::optional<DevicePolicy> find_device_policy(std::string_view name) noexcept {
  for (const auto& [value, text] : kNames) {
    if (text == name) return value;
  }
  return std::nullopt;
}

PolicyMap plan_device_map(const MetaGraph& graph, const PolicyRequest& request) {
  if (request.policy == DevicePolicy::accelerate) return attempt(graph, request, false);
  check_budgets(request.map.max_memory);
  PolicyMap out;
  std::string why;
  try {
    out = attempt(graph, request, false);
    const DeviceMapCheck check = check_device_map(graph, out.map.device_map);
    if (!check.uncovered.empty()) {
      why = fmt::format("accelerate's own map leaves {} tensors without a device ({}{}): they got one", check.uncovered.size(),
                        check.uncovered.front(), check.uncovered.size() > 1 ? ", ..." : "");
    } else if (!graph.tied.empty() && !check_tied_parameters_on_same_device(find_tied_parameters(graph), out.map.device_map).empty()) {
      why = "accelerate's own map spreads tied parameters over devices: they are kept together";
    }
  } catch (const ReferenceError& e) {
    why = fmt::format("accelerate has no map for this ({}: {}): ties and budgets are read as they are meant", e.exception_class(), e.message());
  }
  if (!why.empty()) {
    out = attempt(graph, request, true);
    out.notes.push_back(why);
  }
  limit_disk(request.map.max_memory, out);
  return out;
}

}  // namespace bigmodel
