// SPDX-License-Identifier: Apache-2.0
// What infer_device_map still has to place, in order, and the largest layer in it. Internal to infer_device_map.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "bigmodel/planning/expanded_graph.h"
#include "bigmodel/planning/module_sizes.h"

namespace bigmodel {

/// Entries are disjoint. The largest layer is measured at certain times only and the layers that reach it are counted down as their
/// modules leave at the head: between two measurements it may be larger than anything that is left, as in the reference.
class PlacementQueue {
 public:
  PlacementQueue(const ExpandedGraph& graph, const ModuleSizes& sizes) : graph_(graph), sizes_(sizes) {}

  /// The root's parameters, children and buffers; all of them count as layers at first, later only modules do.
  void start();
  bool empty() const { return head_ == kNone; }
  /// Takes the head out; measures again where that was the last of the largest layers.
  GraphEntry pop();
  /// A popped entry again.
  void push_back_to_front(const GraphEntry& entry) { link_after(kNone, {.entry = entry, .stamp = ++clock_}); }
  void push_second(const GraphEntry& entry) { link_after(head_, {.entry = entry, .stamp = ++clock_}); }
  /// A popped module's parameters and children (and buffers, where asked) at the head.
  void push_children(std::int32_t module, bool with_buffers) { insert_children(module, kNone, ++clock_, with_buffers); }
  /// The same in the place of an entry.
  void replace_by_children(std::int32_t module, bool with_buffers);
  void remove(const GraphEntry& entry);

  void measure();
  const ReferenceNumber& largest() const { return largest_.bytes; }

  /// The entry that holds a tensor: a module above it, or, with `itself`, the tensor.
  std::optional<GraphEntry> holder(const GraphEntry& tensor, bool itself) const;

  using Holder = std::function<std::optional<GraphEntry>(const GraphEntry&)>;
  /// The first entry, or first part of one (parameters before children), of which `fits` is true. Its second argument finds the holder
  /// of a tensor among what the search has still to come.
  std::optional<GraphEntry> search(const std::function<bool(const GraphEntry&, const Holder&)>& fits, bool mend);
  /// Moves an entry, or a part of one that is then taken apart, to the head.
  void bring_forward(const GraphEntry& entry, bool with_buffers);

  /// Counts towards the limit that keeps absurd graphs from taking forever.
  void work(std::size_t amount);

 private:
  static constexpr std::int32_t kNone = -1;
  struct Item {
    GraphEntry entry;
    std::int64_t stamp = 0;   ///< when it came; what came after the last measurement does not count
    std::int32_t before = kNone, after = kNone;
  };
  std::int32_t link_after(std::int32_t before, Item item);
  void unlink(std::int32_t at);
  std::int32_t insert_children(std::int32_t module, std::int32_t before, std::int64_t stamp, bool with_buffers);
  std::vector<GraphEntry> children_of(std::int32_t module, bool with_buffers) const;
  std::int32_t find(const GraphEntry& entry) const;
  Item& item(std::int32_t at) { return items_[static_cast<std::size_t>(at)]; }
  const Item& item(std::int32_t at) const { return items_[static_cast<std::size_t>(at)]; }

  const ExpandedGraph& graph_;
  const ModuleSizes& sizes_;
  std::vector<Item> items_;
  std::vector<std::int32_t> free_;
  std::unordered_map<std::uint64_t, std::int32_t> places_;
  std::int32_t head_ = kNone;
  std::int64_t clock_ = 0;
  LargestLayers largest_;
  std::int64_t measured_ = 0;       ///< the clock at the last measurement
  bool tensors_measured_ = false;   ///< the first one counts tensors too
  std::size_t work_ = 0;
};

}  // namespace bigmodel
