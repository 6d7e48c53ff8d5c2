// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/placement_queue.h"

#include <algorithm>
#include <unordered_set>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::size_t kMostWork = 2'000'000'000;

std::uint64_t key_of(const GraphEntry& entry) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(entry.module)) << 32U | static_cast<std::uint32_t>(entry.tensor);
}

}  // namespace

void PlacementQueue::work(std::size_t amount) {
  work_ += amount;
  if (work_ > kMostWork) throw UnsupportedError("the graph takes too long to plan: too many modules have to be split", "name classes that are not split");
}

std::int32_t PlacementQueue::link_after(std::int32_t before, Item item_of) {
  item_of.before = before;
  item_of.after = before == kNone ? head_ : item(before).after;
  std::int32_t at = 0;
  if (free_.empty()) {
    at = static_cast<std::int32_t>(items_.size());
    items_.push_back(item_of);
  } else {
    at = free_.back();
    free_.pop_back();
    item(at) = item_of;
  }
  if (before == kNone) head_ = at;
  else item(before).after = at;
  if (item_of.after != kNone) item(item_of.after).before = at;
  places_.emplace(key_of(item_of.entry), at);
  return at;
}

void PlacementQueue::unlink(std::int32_t at) {
  const Item gone = item(at);
  if (gone.before == kNone) head_ = gone.after;
  else item(gone.before).after = gone.after;
  if (gone.after != kNone) item(gone.after).before = gone.before;
  places_.erase(key_of(gone.entry));
  free_.push_back(at);
}

std::int32_t PlacementQueue::find(const GraphEntry& entry) const {
  const auto it = places_.find(key_of(entry));
  return it == places_.end() ? kNone : it->second;
}

std::vector<GraphEntry> PlacementQueue::children_of(std::int32_t module, bool with_buffers) const {
  std::vector<GraphEntry> out;
  const auto parameters = static_cast<std::int32_t>(graph_.module(module).parameters.size());
  const auto buffers = static_cast<std::int32_t>(graph_.module(module).buffers.size());
  for (std::int32_t t = 0; t < parameters; ++t) out.push_back({module, t});
  graph_.for_each_child(module, [&out](std::int32_t c) { out.push_back({c}); });
  for (std::int32_t t = 0; with_buffers && t < buffers; ++t) out.push_back({module, parameters + t});
  return out;
}

std::int32_t PlacementQueue::insert_children(std::int32_t module, std::int32_t before, std::int64_t stamp, bool with_buffers) {
  for (const GraphEntry& entry : children_of(module, with_buffers)) {
    // A split module's own tensors are no layers.
    before = link_after(before, {.entry = entry, .stamp = entry.is_module() ? stamp : ++clock_});
  }
  return before;
}

void PlacementQueue::start() {
  std::int32_t last = kNone;
  for (const GraphEntry& entry : root_entries(graph_)) last = link_after(last, {.entry = entry, .stamp = ++clock_});
  largest_ = {};
  for (std::int32_t i = head_; i != kNone; i = item(i).after) {
    const LargestLayers one = sizes_.largest(item(i).entry);
    if (one.bytes > largest_.bytes) largest_ = {one.bytes, 0};
    if (one.bytes == largest_.bytes) largest_.count += one.count;
  }
  measured_ = clock_;
  tensors_measured_ = true;
}

void PlacementQueue::measure() {
  largest_ = {};
  for (std::int32_t i = head_; i != kNone; i = item(i).after) {
    work(1);
    if (!item(i).entry.is_module()) continue;
    const LargestLayers one = sizes_.largest(item(i).entry);
    if (one.bytes > largest_.bytes) largest_ = {one.bytes, 0};
    if (one.bytes == largest_.bytes) largest_.count += one.count;
  }
  measured_ = clock_;
  tensors_measured_ = false;
}

GraphEntry PlacementQueue::pop() {
  const Item popped = item(head_);
  unlink(head_);
  const bool counted = popped.stamp <= measured_ && (popped.entry.is_module() || tensors_measured_);
  if (counted) {
    const LargestLayers one = sizes_.largest(popped.entry);
    if (one.bytes == largest_.bytes) largest_.count -= one.count;
  }
  if (largest_.count <= 0) measure();
  return popped.entry;
}

void PlacementQueue::replace_by_children(std::int32_t module, bool with_buffers) {
  const std::int32_t at = find({module});
  const Item gone = item(at);
  unlink(at);
  insert_children(module, gone.before, ++clock_, with_buffers);
}

void PlacementQueue::remove(const GraphEntry& entry) {
  if (const std::int32_t at = find(entry); at != kNone) unlink(at);
}

std::optional<GraphEntry> PlacementQueue::holder(const GraphEntry& tensor, bool itself) const {
  if (itself && find(tensor) != kNone) return tensor;
  for (std::int32_t i = tensor.module; i > 0; i = graph_.parent(i)) {
    if (find({i}) != kNone) return GraphEntry{i};
  }
  return std::nullopt;
}

std::optional<GraphEntry> PlacementQueue::search(const std::function<bool(const GraphEntry&, const Holder&)>& fits, bool mend) {
  std::vector<GraphEntry> stack;
  std::unordered_set<std::uint64_t> coming;
  for (std::int32_t i = head_; i != kNone; i = item(i).after) {
    stack.push_back(item(i).entry);
    coming.insert(key_of(item(i).entry));
  }
  std::reverse(stack.begin(), stack.end());
  const Holder holder = [&](const GraphEntry& tensor) -> std::optional<GraphEntry> {
    if (mend && coming.contains(key_of(tensor))) return tensor;
    for (std::int32_t i = tensor.module; i > 0; i = graph_.parent(i)) {
      if (coming.contains(key_of({i}))) return GraphEntry{i};
    }
    return std::nullopt;
  };
  while (!stack.empty()) {
    work(1);
    const GraphEntry entry = stack.back();
    stack.pop_back();
    coming.erase(key_of(entry));
    if (fits(entry, holder)) return entry;
    if (!entry.is_module() || !sizes_.splits(entry.module)) continue;
    const std::vector<GraphEntry> children = children_of(entry.module, false);
    for (auto it = children.rbegin(); it != children.rend(); ++it) {
      stack.push_back(*it);
      coming.insert(key_of(*it));
    }
  }
  return std::nullopt;
}

void PlacementQueue::bring_forward(const GraphEntry& entry, bool with_buffers) {
  std::int32_t at = find(entry);
  if (at == kNone) {
    std::vector<std::int32_t> path;
    std::int32_t i = entry.is_module() ? graph_.parent(entry.module) : entry.module;
    for (; find({i}) == kNone; i = graph_.parent(i)) path.push_back(i);
    path.push_back(i);
    for (auto it = path.rbegin(); it != path.rend(); ++it) {
      const std::int32_t here = find({*it});
      const Item gone = item(here);
      unlink(here);
      insert_children(*it, gone.before, gone.stamp, with_buffers);
    }
    at = find(entry);
  }
  const Item moved = item(at);
  unlink(at);
  link_after(kNone, moved);
}

}  // namespace bigmodel
