// SPDX-License-Identifier: Apache-2.0
// The greedy ways to spread a model over devices, by the names that transformers and accelerate give them, made safe to use: where the
// reference raises or forgets tensors, there is an answer all the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/planning/infer_device_map.h"

namespace bigmodel {

enum class DevicePolicy {
  automatic,       ///< "auto": balanced, as transformers has it
  balanced,        ///< evenly over the accelerators
  balanced_low_0,  ///< the same with as little as possible on the first
  sequential,      ///< each device full before the next
  accelerate,      ///< sequential to the letter: the reference's exceptions and omissions too
  optimal,         ///< least predicted time per token (optimal_map.h)
};

std::string_view to_string(DevicePolicy policy) noexcept;
std::optional<DevicePolicy> find_device_policy(std::string_view name) noexcept;

struct PolicyRequest {
  DevicePolicy policy = DevicePolicy::automatic;  ///< all but optimal
  DeviceMapRequest map;                           ///< its max_memory before balancing; mend is set here
  bool user_gave_max_memory = true;
};

struct PolicyMap {
  InferredDeviceMap map;
  std::vector<std::string> notes;      ///< of balancing, and why the reference's own answer is not taken
  /// What lies on disk beyond a limit that max_memory gives it; 0: everything has its place. The reference ignores such a limit.
  ReferenceNumber missing_bytes = 0;
};

/// Throws what infer_auto_device_map throws, ReferenceError only under `accelerate`; UsageError for negative budgets and NaN under others.
PolicyMap plan_device_map(const MetaGraph& graph, const PolicyRequest& request);

}  // namespace bigmodel
