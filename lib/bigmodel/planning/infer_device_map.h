// SPDX-License-Identifier: Apache-2.0
// accelerate 1.15's infer_auto_device_map: fills the devices in order, keeping room on the main ones for the largest layer still to come.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/planning/balanced_memory.h"
#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/module_sizes.h"

namespace bigmodel {

/// What the planner decided about one module (or tensor) while it stood at the head of the queue.
struct PlacementStep {
  enum class Action { placed, split, split_tied, next_device, moved_forward };
  Action action = Action::placed;
  std::string name;                      ///< moved_forward: what was found to fit
  DeviceKey device;                      ///< the current one; next_device: the one that is left
  ReferenceNumber size_bytes = 0;        ///< of the module alone
  ReferenceNumber needed_bytes = 0;      ///< with what is tied to it
  ReferenceNumber used_bytes = 0;        ///< on the device before
  std::optional<ReferenceNumber> budget_bytes;  ///< of the device, less the reserve; none: endless
  ReferenceNumber reserved_bytes = 0;    ///< kept for the largest layer
  std::vector<std::string> tied;         ///< modules that went with it; split_tied: the one that was split
};

struct DeviceMapRequest {
  Budgets max_memory;                    ///< as get_max_memory orders it; "disk" takes everything whatever it says
  std::vector<std::string> no_split;
  SizeRequest sizes;
  bool clean_result = true;
  bool offload_buffers = false;
  bool fallback_allocation = false;
  bool config_says_tied = false;
  /// false: the reference to the letter, its exceptions included. true: names are compared as paths, tensors tied to a split module's
  /// own are found, and a split module's own buffers get a device.
  bool mend = false;
  std::function<void(const PlacementStep&)> observe;  ///< of every step; may be empty
};

/// What a device holds of the map.
struct DeviceLoad {
  DeviceKey device;
  std::optional<ReferenceNumber> budget_bytes;  ///< none: endless
  ReferenceNumber weights_bytes = 0;            ///< with buffers
  ReferenceNumber reserved_bytes = 0;           ///< kept for the largest layer still to come when the device was left
  /// Of a device that stayed empty: what its first module would have needed.
  std::optional<ReferenceNumber> required_bytes;
};

struct DeviceMapMessage {
  enum class Level { warning, log_warning, log_info };  ///< Python's warnings.warn, and its logger's
  Level level = Level::warning;
  std::string text;
};

struct InferredDeviceMap {
  DeviceMap device_map;
  std::vector<DeviceLoad> loads;            ///< every budget in order, and "disk"
  std::vector<DeviceMapMessage> messages;   ///< in the reference's words
};

/// Never fails for lack of memory: disk takes the rest. Throws ReferenceError where the reference raises (IndexError for what is tied
/// to something out of reach, AttributeError for fallback_allocation with a budget that is no whole number); UnsupportedError for
/// graphs whose planning takes more than some seconds.
InferredDeviceMap infer_auto_device_map(const MetaGraph& graph, const DeviceMapRequest& request);

}  // namespace bigmodel
