// SPDX-License-Identifier: Apache-2.0
// How a device map is printed: a table of devices with bars and the map below it, JSON, a dict for Python, and why a module lies where
// it does.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "commands/device_map_plan.h"
#include "render/terminal.h"

namespace bigmodel::app {

/// {"transformer.wte": 0, ...}: keys in the map's order.
nlohmann::ordered_json device_map_json(const DeviceMap& map);

/// dtype, policy, hf_device_map, devices, fits, messages, ... : what follows the common keys.
nlohmann::ordered_json map_json(const MapCall& call, const MapResult& result);

std::string map_text(const MapCall& call, const MapResult& result, const Terminal& terminal);

/// `{"transformer.wte": 0, ...}` over lines, to paste into Python.
std::string map_python(const DeviceMap& map);

/// What was decided about a module, step by step. Throws NotFoundError for a name that the graph does not have.
struct Explanation {
  std::string module;
  std::vector<DeviceKey> devices;   ///< where it lies, in order
  std::vector<std::string> steps;   ///< a sentence each
};
Explanation explain(const MapCall& call, const MapResult& result, const std::string& module);
std::string explanation_text(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

/// One sentence of --verbose.
std::string step_text(const PlacementStep& step);

}  // namespace bigmodel::app
