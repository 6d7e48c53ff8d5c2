// SPDX-License-Identifier: Apache-2.0
// A meta graph with its runs of equal layers unrolled: every module has a number, so that planners can mark, size and walk single ones.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// A module, or one of its own tensors: parameters 0.., then buffers.
struct GraphEntry {
  static constexpr std::int32_t kModule = -1;
  std::int32_t module = 0;
  std::int32_t tensor = kModule;
  bool is_module() const { return tensor == kModule; }
  bool operator==(const GraphEntry&) const = default;
};

/// Modules are numbered depth first in registration order; 0 is the root; those below i are i+1 .. end(i)-1.
/// Not changed after construction, safe to read from several threads.
class ExpandedGraph {
 public:
  static constexpr std::int64_t kMostModules = 4'000'000;

  /// Keeps the graph's templates alive. Throws UnsupportedError beyond kMostModules.
  explicit ExpandedGraph(const MetaGraph& graph);

  std::int32_t size() const { return static_cast<std::int32_t>(nodes_.size()); }
  const ModuleTemplate& module(std::int32_t i) const { return *nodes_[at(i)].module; }
  /// -1 for the root.
  std::int32_t parent(std::int32_t i) const { return nodes_[at(i)].parent; }
  std::int32_t end(std::int32_t i) const { return nodes_[at(i)].end; }
  bool has_children(std::int32_t i) const { return end(i) > i + 1; }
  std::string name(std::int32_t i) const;
  std::string name(const GraphEntry& entry) const;
  const TensorTemplate& tensor(const GraphEntry& entry) const;
  bool is_parameter(const GraphEntry& entry) const {
    return !entry.is_module() && static_cast<std::size_t>(entry.tensor) < module(entry.module).parameters.size();
  }

  std::optional<std::int32_t> find_module(std::string_view name) const;
  /// A module, parameter or buffer by its full name.
  std::optional<GraphEntry> find(std::string_view name) const;

  /// The numbers of its own child modules, in order.
  template <typename Visit>
  void for_each_child(std::int32_t i, Visit visit) const {
    for (std::int32_t c = i + 1; c < end(i); c = end(c)) visit(c);
  }

 private:
  struct Node {
    const ModuleTemplate* module = nullptr;
    const ModuleChild* child = nullptr;  ///< the run that it stands in; null for the root
    std::int64_t number = 0;             ///< in that run
    std::int32_t parent = -1;
    std::int32_t end = 0;
  };
  static std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }
  std::optional<std::int32_t> child_named(std::int32_t i, std::string_view name) const;
  void add(const ModuleTemplate& module, const ModuleChild* child, std::int64_t number, std::int32_t parent);

  std::shared_ptr<const ModuleTemplate> root_;
  std::vector<Node> nodes_;
  /// Where the children of a template with many of them stand, counted from it.
  struct Places {
    std::unordered_map<std::string_view, std::int32_t> single;
    std::vector<std::pair<const ModuleChild*, std::int32_t>> runs;
  };
  std::unordered_map<const ModuleTemplate*, Places> many_;
};

}  // namespace bigmodel
