// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/check_device_map.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <unordered_set>

#include "bigmodel/planning/expanded_graph.h"
#include "bigmodel/planning/reference_number.h"

namespace bigmodel {

std::string DeviceMapCheck::warning() const {
  if (unknown_keys.empty()) return {};
  std::vector<std::string> quoted;
  for (const std::string& key : unknown_keys) quoted.push_back(python_repr(key));
  return fmt::format("The following device_map keys do not match any submodules in the model: [{}]", fmt::join(quoted, ", "));
}

std::string DeviceMapCheck::error() const {
  if (uncovered.empty()) return {};
  return fmt::format("The device_map provided does not give any device for the following parameters: {}", fmt::join(uncovered, ", "));
}

DeviceMapCheck check_device_map(const MetaGraph& graph, const DeviceMap& device_map) {
  const ExpandedGraph expanded(graph);
  DeviceMapCheck out;
  std::vector<bool> covered(static_cast<std::size_t>(expanded.size()), false);
  std::unordered_set<std::string_view> tensors;
  for (const auto& [key, device] : device_map) {
    const std::optional<GraphEntry> entry = expanded.find(key);
    if (entry && entry->is_module()) {
      covered[static_cast<std::size_t>(entry->module)] = true;
    } else {
      out.unknown_keys.push_back(key);
      if (entry) tensors.insert(key);
    }
  }
  for (std::int32_t i = 0; i < expanded.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (i > 0 && covered[static_cast<std::size_t>(expanded.parent(i))]) covered[at] = true;
    if (covered[at]) continue;
    const ModuleTemplate& m = expanded.module(i);
    const std::string prefix = i == 0 || (m.parameters.empty() && m.buffers.empty()) ? std::string() : expanded.name(i) + ".";
    for (const auto* list : {&m.parameters, &m.buffers}) {
      for (const TensorTemplate& t : *list) {
        std::string name = prefix + t.name;
        if (!tensors.contains(name)) (t.persistent ? out.uncovered : out.uncovered_buffers).push_back(std::move(name));
      }
    }
  }
  return out;
}

}  // namespace bigmodel
