// SPDX-License-Identifier: Apache-2.0
// The device map of least predicted time per token: exact packing of whole layers with their caches, working memory and
// streaming buffers counted (section 6 of DESIGN; accelerate's own algorithm is infer_device_map).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/placement.h"
#include "bigmodel/planning/time_model.h"

namespace bigmodel {

struct OptimalRequest {
  PlacementRequest placement;
  /// Devices in order with what each may take; "disk" is added without limit where it is missing, as accelerate does.
  std::vector<std::pair<DeviceKey, std::int64_t>> budgets;
  TierSpeeds speeds;
  std::int64_t streaming_slots = 2;     ///< buffers on the main device that hold any streamed part
  std::int64_t prefill_tokens = 2048;   ///< the most tokens of a pass: longer prompts go in chunks
  std::optional<DType> workspace_dtype; ///< of activations; empty: as the weights
  bool clean_result = true;             ///< one name for modules whose parts all lie on one device
  std::string hint = "a shorter context, fewer sequences, a narrower dtype, more memory, or room on disk";   ///< of CapacityErrors, in the caller's words
};

/// What a device's budget goes to.
struct DeviceUse {
  DeviceKey device;
  std::int64_t budget_bytes = 0;
  std::int64_t weights_bytes = 0;       ///< with buffers
  std::int64_t cache_bytes = 0;
  std::int64_t workspace_bytes = 0;     ///< activations of the largest pass
  std::int64_t streaming_bytes = 0;     ///< the slots
  std::int64_t free_bytes() const { return budget_bytes - weights_bytes - cache_bytes - workspace_bytes - streaming_bytes; }
};

struct OptimalMap {
  DeviceMap device_map;
  std::vector<DeviceUse> uses;          ///< of every budget
  Prediction predicted;
  DeviceKey main_device;                ///< runs what only lies on cpu or disk
  std::int64_t workspace_bytes = 0;     ///< activations of the largest pass, on every device that runs
  bool proved = true;                   ///< false: too many different parts to search all; better maps may exist
};

/// The main device is the fastest accelerator (the first of equals), else the processor. Layers that are streamed through it are
/// spread evenly between those that stay, so that copies overlap. Cost: milliseconds, bounded.
/// Throws CapacityError naming the device that is short, the layer that its slots are for, what is missing and the request's hint; UsageError for negative budgets.
OptimalMap infer_optimal_map(const MetaGraph& graph, const OptimalRequest& request);

}  // namespace bigmodel
