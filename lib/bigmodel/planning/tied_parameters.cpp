// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/tied_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "bigmodel/planning/reference_number.h"
#include "bigmodel/planning/reference_sizes.h"

namespace bigmodel {
namespace {

std::string python_repr(const DeviceKey& device) {
  const auto* text = std::get_if<std::string>(&device);
  return text != nullptr ? bigmodel::python_repr(std::string_view(*text)) : to_string(device);
}

}  // namespace

TieGroups find_tied_parameters(const MetaGraph& graph) {
  if (graph.tied.empty()) return {};
  std::unordered_map<std::string_view, std::size_t> second;
  for (std::size_t g = 0; g < graph.tied.size(); ++g) second.emplace(graph.tied[g].at(1), g);
  TieGroups out;
  for_each_tensor(graph, [&](const TensorVisit& v) {
    if (v.is_buffer) return;
    const auto it = second.find(v.name);
    if (it == second.end()) return;
    out.push_back(graph.tied[it->second]);
    std::ranges::sort(out.back());
  });
  return out;
}

std::vector<std::string> check_tied_parameters_on_same_device(const TieGroups& ties, const DeviceMap& device_map) {
  std::unordered_map<std::string_view, const DeviceKey*> devices;
  for (const auto& [name, device] : device_map) devices.insert_or_assign(name, &device);
  const auto device_of = [&](std::string_view name) -> const DeviceKey& {
    for (;;) {
      if (const auto it = devices.find(name); it != devices.end()) return *it->second;
      if (name.empty()) throw ReferenceError("ValueError", fmt::format("The `device_map` does not contain the module {}.", name));
      name = name.substr(0, name.rfind('.') == std::string_view::npos ? 0 : name.rfind('.'));
    }
  };
  std::vector<std::string> warnings;
  for (const std::vector<std::string>& group : ties) {
    std::string text;
    const DeviceKey* first = nullptr;
    bool differ = false;
    for (const std::string& name : group) {
      const DeviceKey& device = device_of(name);
      if (first != nullptr && device != *first) differ = true;
      if (first == nullptr) first = &device;
      text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", bigmodel::python_repr(std::string_view(name)), python_repr(device));
    }
    if (!differ) continue;
    warnings.push_back(fmt::format("Tied parameters are on different devices: {{{}}}. Please modify your custom device map or set "
                                   "`device_map='auto'`. ", text));
  }
  return warnings;
}

std::vector<std::pair<std::string, std::string>> retie_parameters(const TieGroups& ties, const std::function<bool(const std::string&)>& is_on_meta) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::vector<std::string>& group : ties) {
    const auto kept = std::ranges::find_if_not(group, is_on_meta);
    if (kept == group.end()) continue;
    for (const std::string& name : group) out.emplace_back(name, *kept);
  }
  return out;
}

}  // namespace bigmodel
