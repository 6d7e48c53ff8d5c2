// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/device_map.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace bigmodel {
namespace {

/// The dotted names of a map as a tree, so that cleaning takes time in proportion to it.
class Names {
 public:
  explicit Names(const DeviceMap& map) : map_(map) {
    for (std::size_t i = 0; i < map.size(); ++i) add(i);
  }

  /// Entries that go, and the ones that take their place: the map's own under that name, else at the end.
  DeviceMap cleaned(const std::string& start) {
    std::size_t node = 0;
    if (!start.empty()) {
      const std::size_t* found = find(start);
      if (found == nullptr) return map_;
      node = *found;
    }
    gone_.assign(map_.size(), false);
    std::vector<std::size_t> stack{node};
    DeviceMap out = map_, added;
    while (!stack.empty()) {
      const std::size_t at = stack.back();
      stack.pop_back();
      const Node& n = nodes_[at];
      if (n.below >= 2 && n.same) {
        remove_below(at);
        const bool kept = at != 0 && n.key != kNone;
        if (kept) out[n.key].second = *n.device;
        else added.emplace_back(std::string(n.name), *n.device);
        continue;
      }
      stack.insert(stack.end(), n.children.rbegin(), n.children.rend());
    }
    DeviceMap result;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (!gone_[i]) result.push_back(std::move(out[i]));
    }
    result.insert(result.end(), std::make_move_iterator(added.begin()), std::make_move_iterator(added.end()));
    return result;
  }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;
  struct Node {
    std::string_view name;              ///< whole
    std::size_t key = kNone;            ///< the map's entry of that name
    std::size_t below = 0;              ///< entries below; of the root all, its own too
    const DeviceKey* device = nullptr;  ///< of the first of them
    bool same = true;
    std::vector<std::size_t> children;  ///< in order of first appearance
  };

  void count(std::size_t at, const DeviceKey& device) {
    Node& n = nodes_[at];
    ++n.below;
    if (n.device == nullptr) n.device = &device;
    n.same = n.same && *n.device == device;
  }

  void add(std::size_t i) {
    const std::string& key = map_[i].first;
    std::size_t at = 0;
    count(0, map_[i].second);
    for (std::size_t begin = 0; !key.empty() && begin <= key.size();) {
      const std::size_t dot = key.find('.', begin);
      const std::string_view name = std::string_view(key).substr(0, dot);
      const auto [it, fresh] = index_.emplace(name, nodes_.size());
      if (fresh) {
        nodes_[at].children.push_back(nodes_.size());
        nodes_.push_back({.name = name});
      }
      at = it->second;
      if (dot != std::string::npos) count(at, map_[i].second);
      begin = dot == std::string::npos ? key.size() + 1 : dot + 1;
    }
    nodes_[at].key = i;
  }

  const std::size_t* find(std::string_view name) const {
    const auto it = index_.find(name);
    return it == index_.end() ? nullptr : &it->second;
  }

  void remove_below(std::size_t node) {
    std::vector<std::size_t> stack = nodes_[node].children;
    if (node == 0 && nodes_[0].key != kNone) gone_[nodes_[0].key] = true;
    while (!stack.empty()) {
      const Node& n = nodes_[stack.back()];
      stack.pop_back();
      if (n.key != kNone) gone_[n.key] = true;
      stack.insert(stack.end(), n.children.begin(), n.children.end());
    }
  }

  const DeviceMap& map_;
  std::vector<Node> nodes_{1};
  std::unordered_map<std::string_view, std::size_t> index_;
  std::vector<bool> gone_;
};

}  // namespace

std::string to_string(const DeviceKey& device) {
  if (const auto* number = std::get_if<std::int64_t>(&device)) return std::to_string(*number);
  return std::get<std::string>(device);
}

DeviceMap clean_device_map(DeviceMap device_map, const std::string& module_name) { return Names(device_map).cleaned(module_name); }

}  // namespace bigmodel
