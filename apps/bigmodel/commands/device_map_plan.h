// SPDX-License-Identifier: Apache-2.0
// One call of infer-device-map, whoever makes it (options, a JSON request), and its answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/device_map_policy.h"
#include "bigmodel/planning/kv_cache.h"
#include "bigmodel/planning/time_model.h"

namespace bigmodel::app {

struct MapCall {
  std::string label;                        ///< names the model in messages
  std::shared_ptr<const MetaGraph> graph;
  bool config_says_tied = false;
  DevicePolicy policy = DevicePolicy::automatic;
  Budgets budgets;
  bool gave_budgets = true;                 ///< false: they are the machine's
  std::vector<std::string> no_split;
  SizeRequest sizes;
  bool clean_result = true, offload_buffers = false, fallback_allocation = false;
  CacheRequest cache{.context = 2048};
  TierSpeeds speeds;
  bool predicts = false;                    ///< tokens/s are asked for
  bool observes = false;                    ///< steps are asked for
  std::optional<DeviceMap> given_map;       ///< to be checked instead of making one
};

struct DeviceRow {
  DeviceKey device;
  std::optional<std::int64_t> budget_bytes;     ///< none: endless, or not asked
  std::int64_t weights_bytes = 0;
  std::int64_t reserved_bytes = 0;              ///< largest layer; optimal: activations and streaming buffers
  std::int64_t kv_cache_bytes = 0;
  std::optional<std::int64_t> required_bytes;   ///< of a device that stayed empty
  std::optional<std::int64_t> free_bytes() const;
};

struct MapResult {
  DeviceMap device_map;
  std::vector<DeviceRow> devices;
  bool fits = true;
  std::vector<std::string> messages;            ///< as the reference warns and logs
  std::vector<std::string> warnings, notes;     ///< our own
  std::optional<Prediction> predicted;
  std::optional<Prediction> accelerate_predicted;  ///< of accelerate's map under the same budgets
  /// What accelerate's map lacks for caches and activations, which it does not count, on the device that is shortest, and which.
  std::int64_t accelerate_missing_bytes = 0;
  DeviceKey accelerate_short_device;
  std::int64_t workspace_bytes = 0;             ///< optimal: activations on every device that runs
  std::vector<PlacementStep> steps;
  bool proved = true;
  std::vector<std::string> unknown_keys, uncovered;  ///< of a given map
  DType dtype = DType::float32;                 ///< what the sizes are of, where one dtype says it
};

/// Throws ReferenceError and CapacityError (with remedies that were tried) beside what the planners throw.
MapResult plan(const MapCall& call);

}  // namespace bigmodel::app
