// SPDX-License-Identifier: Apache-2.0
// Whether a device map covers a model: accelerate 1.15's check_device_map, and what it leaves out by name.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/device_map.h"

namespace bigmodel {

struct DeviceMapCheck {
  std::vector<std::string> unknown_keys;    ///< that name no module, in the map's order (the name of a tensor counts as one, as there)
  std::vector<std::string> uncovered;       ///< parameters and persistent buffers without a device, in the state dict's order
  std::vector<std::string> uncovered_buffers;  ///< those that the state dict leaves out, which the reference does not miss
  /// The reference's warning and error; empty where it has none.
  std::string warning() const;
  std::string error() const;
};

DeviceMapCheck check_device_map(const MetaGraph& graph, const DeviceMap& device_map);

}  // namespace bigmodel
