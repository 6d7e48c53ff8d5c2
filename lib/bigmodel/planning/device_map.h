// SPDX-License-Identifier: Apache-2.0
// Device maps and budgets as accelerate 1.15 knows them: an ordered list of module names and devices, and of devices and bytes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bigmodel {

/// An accelerator's number, or "mps", "cpu", "disk" (any other text is a device that nothing here knows). 0 and "0" differ.
using DeviceKey = std::variant<std::int64_t, std::string>;

/// The number or the text itself.
std::string to_string(const DeviceKey& device);

/// Module or parameter name ("" is the whole model) -> device, in order; names occur once.
using DeviceMap = std::vector<std::pair<std::string, DeviceKey>>;

/// Replaces all names below `module_name` by that one name where there are several and all lie on one device, then does the same
/// for each module below it. accelerate's clean_device_map; what follows a replaced group in the order is the reference's with
/// sets in order of first appearance.
DeviceMap clean_device_map(DeviceMap device_map, const std::string& module_name = {});

}  // namespace bigmodel
