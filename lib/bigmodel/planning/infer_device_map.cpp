// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/infer_device_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/error.h"
#include "bigmodel/planning/placement_queue.h"
#include "bigmodel/planning/reference_sizes.h"
#include "bigmodel/planning/tied_parameters.h"

namespace bigmodel {
namespace {

/// A parameter that has further names or is one.
struct TiedName {
  std::string name;
  GraphEntry entry;
};

class Planner {
 public:
  Planner(const MetaGraph& graph, const DeviceMapRequest& request)
      : request_(request),
        graph_(graph),
        no_split_(request.no_split.begin(), request.no_split.end()),
        sizes_(graph_, graph.tied, request.sizes, no_split_),
        queue_(graph_, sizes_) {
    for (const std::vector<std::string>& group : find_tied_parameters(graph)) {
      ties_.emplace_back();
      for (const std::string& name : group) ties_.back().push_back({name, graph_.find(name).value()});
    }
    if (request.config_says_tied && ties_.empty()) {
      say(DeviceMapMessage::Level::log_warning,
          "The model weights are not tied. Please use the `tie_weights` method before using the `infer_auto_device` function.");
    }
    read_devices();
  }

  InferredDeviceMap run() {
    queue_.start();
    while (!queue_.empty()) step();
    finish();
    return std::move(out_);
  }

 private:
  using Action = PlacementStep::Action;

  struct Device {
    DeviceKey key;
    std::optional<ReferenceNumber> budget;
    bool main = false;
    bool accelerator = false;
    ReferenceNumber used = 0;
    ReferenceNumber weights = 0;
    ReferenceNumber reserved = 0;
    ReferenceNumber buffers = 0;
  };

  /// The entry at the head of the queue with what is tied to it from outside.
  struct Candidate {
    GraphEntry entry;
    std::string name;
    ReferenceNumber size = 0;
    ReferenceNumber needed = 0;
    std::vector<GraphEntry> owners;   ///< queue entries that hold the outside names, one per name
  };

  void say(DeviceMapMessage::Level level, std::string text) { out_.messages.push_back({level, std::move(text)}); }

  void read_devices() {
    for (const auto& [key, bytes] : request_.max_memory) {
      const auto* text = std::get_if<std::string>(&key);
      const bool endless = text != nullptr && *text == "disk";
      devices_.push_back({.key = key, .budget = endless ? std::nullopt : std::optional(bytes), .accelerator = !endless && (text == nullptr || *text != "cpu")});
    }
    if (devices_.empty() || devices_.back().budget) devices_.push_back({.key = std::string("disk"), .budget = std::nullopt});
    const auto is = [](const Device& d, std::string_view name) {
      const auto* text = std::get_if<std::string>(&d.key);
      return text != nullptr && *text == name;
    };
    const bool mps = std::ranges::any_of(devices_, [&](const Device& d) { return is(d, "mps"); });
    bool first = true;
    for (Device& d : devices_) {
      d.main = mps ? is(d, "mps") : is(d, "cpu") || (d.accelerator && first);
      if (d.accelerator) first = false;
    }
  }

  /// The names tied to the candidate from outside. The reference looks for a module's name anywhere in that of a parameter.
  std::vector<const TiedName*> tied_outside(const Candidate& c) {
    std::vector<const TiedName*> out;
    if (ties_.empty()) return out;
    const std::string dotted = c.name + ".";
    for (const std::vector<TiedName>& group : ties_) {
      queue_.work(group.size());
      std::vector<const TiedName*> outside;
      for (const TiedName& tied : group) {
        if ((tied.name + ".").find(dotted) == std::string::npos) outside.push_back(&tied);
      }
      if (outside.size() < group.size()) out.insert(out.end(), outside.begin(), outside.end());
    }
    return out;
  }

  bool holds(const GraphEntry& outer, const GraphEntry& tensor) const {
    return outer.is_module() ? tensor.module >= outer.module && tensor.module < graph_.end(outer.module) : outer == tensor;
  }

  /// Adds the entries that hold what is tied, as `holder` finds them, and their sizes.
  template <typename Holder>
  void add_ties(Candidate& c, Holder holder) {
    c.needed = c.size;
    if (request_.mend) return add_all_ties(c, holder);
    for (const TiedName* tied : tied_outside(c)) {
      const std::optional<GraphEntry> owner = holder(tied->entry);
      if (!owner) throw ReferenceError("IndexError", "list index out of range");
      c.owners.push_back(*owner);
      c.needed += sizes_.of(*owner) - sizes_.of(tied->entry);
    }
  }

  /// Mended: names are places in the tree, what is tied to an owner comes too, and every owner counts once.
  template <typename Holder>
  void add_all_ties(Candidate& c, Holder holder) {
    const auto taken = [&](const TiedName& tied) {
      return holds(c.entry, tied.entry) || std::ranges::any_of(c.owners, [&](const GraphEntry& o) { return holds(o, tied.entry); });
    };
    for (bool grown = true; grown;) {
      grown = false;
      for (const std::vector<TiedName>& group : ties_) {
        queue_.work(group.size());
        if (std::ranges::none_of(group, taken)) continue;
        for (const TiedName& tied : group) {
          if (taken(tied)) continue;
          const std::optional<GraphEntry> owner = holder(tied.entry);
          if (!owner) continue;
          c.owners.push_back(*owner);
          c.needed += sizes_.of(*owner);
          grown = true;
        }
      }
    }
  }

  void step() {
    Candidate c;
    c.entry = queue_.pop();
    c.name = graph_.name(c.entry);
    c.size = sizes_.of(c.entry);
    Device& d = devices_[current_];
    const ReferenceNumber reserve = d.main ? queue_.largest() : ReferenceNumber(0);
    std::optional<ReferenceNumber> room;
    if (d.budget) room = d.main ? *d.budget - reserve : *d.budget;
    add_ties(c, [this](const GraphEntry& e) { return queue_.holder(e, request_.mend); });

    if (!room || d.used + c.needed <= *room) return place(d, c, room, reserve);
    if (moved_ && *moved_ == c.entry) no_fallback_on_ = current_;  // mended: its ties were more than the search saw
    if (!c.owners.empty() && d.used + c.size <= *room && split_tied(d, c, room, reserve)) return;
    if (d.used + c.size >= *room && c.entry.is_module() && sizes_.splits(c.entry.module)) {
      tell(Action::split, d, c, room, reserve);
      queue_.push_children(c.entry.module, request_.mend);
      queue_.measure();
      return;
    }
    if (d.used == 0 && request_.fallback_allocation && move_forward(d, c, room, reserve)) return;
    tell(Action::next_device, d, c, room, reserve);
    if (d.used == 0) minimum_.emplace_back(current_, c.needed + reserve);
    d.used += reserve;
    d.reserved = reserve;
    ++current_;
    queue_.push_back_to_front(c.entry);
  }

  void place(Device& d, const Candidate& c, const std::optional<ReferenceNumber>& room, const ReferenceNumber& reserve) {
    tell(Action::placed, d, c, room, reserve);
    d.used += c.needed;
    d.weights += c.needed;
    map(c.name, d.key);
    for (const GraphEntry& owner : c.owners) {
      queue_.remove(owner);
      map(graph_.name(owner), d.key);
    }
    if (!request_.offload_buffers && c.entry.is_module()) d.buffers += sizes_.buffers_of(c.entry.module);
  }

  void map(const std::string& name, const DeviceKey& device) {
    if (const auto [it, fresh] = placed_.emplace(name, out_.device_map.size()); fresh) out_.device_map.emplace_back(name, device);
    else out_.device_map[it->second].second = device;
  }

  bool split_tied(const Device& d, Candidate& c, const std::optional<ReferenceNumber>& room, const ReferenceNumber& reserve) {
    const auto owner = std::ranges::find_if(c.owners, [this](const GraphEntry& e) { return e.is_module() && sizes_.splits(e.module); });
    if (owner == c.owners.end()) return false;
    const GraphEntry split = *owner;
    c.owners = {split};
    tell(Action::split_tied, d, c, room, reserve);
    queue_.replace_by_children(split.module, request_.mend);
    queue_.push_back_to_front(c.entry);
    queue_.measure();
    return true;
  }

  /// fallback_allocation: something else from the queue that an empty device can take.
  bool move_forward(const Device& d, const Candidate& c, const std::optional<ReferenceNumber>& room, const ReferenceNumber& reserve) {
    const ReferenceNumber limit = *d.budget - first_max(queue_.largest(), c.needed) - d.used;
    if (limit.is_float() && !request_.mend) throw ReferenceError("AttributeError", "'float' object has no attribute 'upper'");
    if (limit < 0 || no_fallback_on_ == current_) return false;
    const std::optional<GraphEntry> found = queue_.search(
        [&](const GraphEntry& entry, const PlacementQueue::Holder& holder) {
          Candidate other;
          other.entry = entry;
          other.name = graph_.name(entry);
          other.size = sizes_.of(entry);
          add_ties(other, holder);
          return other.needed <= limit;
        },
        request_.mend);
    if (!found) return false;
    queue_.bring_forward(*found, request_.mend);
    queue_.push_second(c.entry);
    if (request_.mend) moved_ = found;
    Candidate moved = c;
    moved.entry = *found;
    moved.name = graph_.name(*found);
    tell(Action::moved_forward, d, moved, room, reserve);
    return true;
  }

  void tell(Action action, const Device& d, const Candidate& c, const std::optional<ReferenceNumber>& room, const ReferenceNumber& reserve) const {
    if (!request_.observe) return;
    PlacementStep step{.action = action, .name = c.name, .device = d.key, .size_bytes = c.size, .needed_bytes = c.needed, .used_bytes = d.used,
                       .budget_bytes = room, .reserved_bytes = reserve, .tied = {}};
    for (const GraphEntry& owner : c.owners) step.tied.push_back(graph_.name(owner));
    request_.observe(step);
  }

  void finish() {
    if (request_.clean_result) out_.device_map = clean_device_map(std::move(out_.device_map));
    warn_of_buffers();
    if (!minimum_.empty()) {
      std::string rows;
      for (const auto& [device, bytes] : minimum_) {
        rows += fmt::format("  - {}: {} bytes required\n", to_string(devices_[device].key), to_string(bytes));
      }
      say(DeviceMapMessage::Level::log_info,
          fmt::format("Based on the current allocation process, no modules could be assigned to the following devices due to insufficient "
                      "memory:\n{}These minimum requirements are specific to this allocation attempt and may vary. Consider increasing the "
                      "available memory for these devices to at least the specified minimum, or adjusting the model config.",
                      rows));
    }
    for (const Device& d : devices_) {
      out_.loads.push_back({.device = d.key, .budget_bytes = d.budget, .weights_bytes = d.weights, .reserved_bytes = d.reserved, .required_bytes = {}});
    }
    for (const auto& [device, bytes] : minimum_) out_.loads[device].required_bytes = bytes;
  }

  void warn_of_buffers() {
    ReferenceNumber offloaded = 0;
    bool any = false, fits = false;
    for (const Device& d : devices_) {
      if (!d.accelerator) offloaded += d.buffers;
    }
    for (const Device& d : devices_) {
      if (!d.accelerator) continue;
      any = true;
      fits = fits || *d.budget >= offloaded + (d.used > 0 ? d.used : ReferenceNumber(0));
    }
    if (!(offloaded > 0) || request_.offload_buffers || !any || fits) return;
    say(DeviceMapMessage::Level::warning,
        fmt::format("Current model requires {} bytes of buffer for offloaded layers, which seems does not fit any GPU's remaining memory. If "
                    "you are experiencing a OOM later, please consider using offload_buffers=True.",
                    to_string(offloaded)));
  }

  const DeviceMapRequest& request_;
  ExpandedGraph graph_;
  NoSplitClasses no_split_;
  ModuleSizes sizes_;
  PlacementQueue queue_;
  std::vector<std::vector<TiedName>> ties_;
  std::vector<Device> devices_;
  std::size_t current_ = 0;
  std::optional<GraphEntry> moved_;               ///< what fallback_allocation brought forward last
  std::size_t no_fallback_on_ = SIZE_MAX;         ///< a device that what was found did not fit after all
  std::vector<std::pair<std::size_t, ReferenceNumber>> minimum_;
  std::unordered_map<std::string, std::size_t> placed_;
  InferredDeviceMap out_;
};

}  // namespace

InferredDeviceMap infer_auto_device_map(const MetaGraph& graph, const DeviceMapRequest& request) { return Planner(graph, request).run(); }

}  // namespace bigmodel
