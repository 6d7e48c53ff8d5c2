// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/device_map.h"

#include <algorithm>
#include <unordered_set>

namespace bigmodel {
namespace {

/// Names one level below `prefix` under which the map has keys, in order of first appearance.
std::vector<std::string> names_below(const DeviceMap& device_map, const std::string& prefix, std::size_t module_name_size) {
  std::vector<std::string> names;
  std::unordered_set<std::string> seen;
  for (const auto& [key, device] : device_map) {
    if (!key.starts_with(prefix) || key.size() <= module_name_size) continue;
    std::string name = key.substr(0, key.find('.', prefix.size()));
    if (seen.insert(name).second) names.push_back(std::move(name));
  }
  return names;
}

void fold(DeviceMap& device_map, const std::string& module_name, const std::string& prefix) {
  const DeviceKey* first = nullptr;
  std::size_t count = 0;
  for (const auto& [key, device] : device_map) {
    if (!key.starts_with(prefix)) continue;
    if (first != nullptr && device != *first) return;
    first = &device;
    ++count;
  }
  if (count < 2) return;
  const DeviceKey device = *first;
  std::erase_if(device_map, [&prefix](const auto& entry) { return entry.first.starts_with(prefix); });
  const auto same = std::find_if(device_map.begin(), device_map.end(),
                                 [&module_name](const auto& entry) { return entry.first == module_name; });
  if (same != device_map.end()) {
    same->second = device;
  } else {
    device_map.emplace_back(module_name, device);
  }
}

}  // namespace

std::string to_string(const DeviceKey& device) {
  if (const auto* number = std::get_if<std::int64_t>(&device)) return std::to_string(*number);
  return std::get<std::string>(device);
}

DeviceMap clean_device_map(DeviceMap device_map, const std::string& module_name) {
  // A stack of our own: the depth of names in a user's map has no bound.
  std::vector<std::string> stack{module_name};
  while (!stack.empty()) {
    const std::string name = std::move(stack.back());
    stack.pop_back();
    const std::string prefix = name.empty() ? std::string() : name + ".";
    fold(device_map, name, prefix);
    std::vector<std::string> below = names_below(device_map, prefix, name.size());
    stack.insert(stack.end(), std::make_move_iterator(below.rbegin()), std::make_move_iterator(below.rend()));
  }
  return device_map;
}

}  // namespace bigmodel
