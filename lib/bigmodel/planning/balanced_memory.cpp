// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/balanced_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/planning/reference_sizes.h"

namespace bigmodel {
namespace {

const std::int64_t* number_of(const DeviceKey& device) { return std::get_if<std::int64_t>(&device); }

/// Sizes of modules, walked in the order in which the reference meets their names.
class Layers {
 public:
  Layers(const MetaGraph& graph, const SizeRequest& request) : graph_(graph), sizes_(graph_, graph.tied, request) {
    first_.assign(static_cast<std::size_t>(graph_.size()), false);
  }

  ReferenceNumber total() const { return sizes_.total(); }

  /// The largest of the first module (or tensor, by its Python class) of each class.
  ReferenceNumber largest_first(const std::vector<std::string>& classes) {
    NoSplitClasses wanted(classes.begin(), classes.end());
    ReferenceNumber largest = 0;
    bool any = false;
    const auto offer = [&](const std::string& class_name, const GraphEntry& entry) {
      if (wanted.erase(class_name) == 0) return;
      const ReferenceNumber size = sizes_.of(entry);
      largest = any ? first_max(largest, size) : size;
      any = true;
    };
    for (const bool buffers : {false, true}) {
      for (std::int32_t i = 0; i < graph_.size() && !wanted.empty(); ++i) {
        const ModuleTemplate& m = graph_.module(i);
        const auto parameters = static_cast<std::int32_t>(m.parameters.size());
        const auto count = buffers ? static_cast<std::int32_t>(m.buffers.size()) : parameters;
        for (std::int32_t t = 0; t < count; ++t) {
          const GraphEntry entry{i, buffers ? parameters + t : t};
          if (sizes_.is_alias(entry)) continue;
          std::vector<std::int32_t> fresh;
          for (std::int32_t p = i; p > 0 && !first_[static_cast<std::size_t>(p)]; p = graph_.parent(p)) fresh.push_back(p);
          for (auto it = fresh.rbegin(); it != fresh.rend(); ++it) {
            first_[static_cast<std::size_t>(*it)] = true;
            offer(graph_.module(*it).class_name, {*it});
          }
          offer(buffers ? "Tensor" : "Parameter", entry);
        }
      }
    }
    return largest;
  }

  /// int(mean) over modules that have tensors and whose children have none.
  ReferenceNumber mean_of_leaves() const {
    std::vector<bool> sized(static_cast<std::size_t>(graph_.size()), false);
    ReferenceNumber sum = 0;
    std::int64_t count = 0;
    for (std::int32_t i = graph_.size() - 1; i > 0; --i) {
      const ModuleTemplate& m = graph_.module(i);
      bool own = !m.buffers.empty();
      for (std::int32_t t = 0; !own && t < static_cast<std::int32_t>(m.parameters.size()); ++t) own = !sizes_.is_alias({i, t});
      bool below = false;
      graph_.for_each_child(i, [&](std::int32_t c) { below = below || sized[static_cast<std::size_t>(c)]; });
      sized[static_cast<std::size_t>(i)] = own || below;
      if (!own || below) continue;
      sum += sizes_.of({i});
      ++count;
    }
    return ReferenceNumber(sum.as_double() / static_cast<double>(std::max<std::int64_t>(count, 1))).truncated("mean size of layers");
  }

 private:
  ExpandedGraph graph_;
  ModuleSizes sizes_;
  std::vector<bool> first_;
};

}  // namespace

BalancedMemory get_balanced_memory(const MetaGraph& graph, const BalanceRequest& request) {
  BalancedMemory out{request.max_memory, {}};
  Budgets& budgets = out.max_memory;
  std::int64_t count = 0;
  for (const auto& [device, bytes] : budgets) {
    if (number_of(device) != nullptr) {
      count += bytes > 0 ? 1 : 0;
    } else if (!request.mend && to_string(device) == "disk") {
      throw ReferenceError("RuntimeError",
                           "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, "
                           "meta, hpu, mtia, privateuseone device type at start of device string: disk");
    }
  }
  if (count == 0) return out;
  bool low_zero = request.low_zero;
  if (count == 1) {
    low_zero = false;
    const auto first = std::ranges::find_if(budgets, [](const auto& b) { return number_of(b.first) != nullptr; });
    if (!request.user_gave_max_memory) {
      first->second = first->second.as_double() * 0.9;
      out.notes.push_back(fmt::format("We will use 90% of the memory on device {} for storing the model, and 10% for the buffer to avoid OOM. "
                                      "You can set `max_memory` in to a higher value to use more memory (at your own risk).",
                                      to_string(first->first)));
    }
  }
  Layers layers(graph, request.sizes);
  ReferenceNumber per_gpu = layers.total().floor_divided(low_zero ? count - 1 : count);
  const ReferenceNumber block = layers.largest_first(request.no_split);
  const ReferenceNumber buffer = first_max(block, layers.mean_of_leaves());
  per_gpu += ReferenceNumber(1.25 * buffer.as_double()).truncated("balanced memory");

  const auto budget_of = [&budgets](std::int64_t id) -> ReferenceNumber* {
    const auto it = std::ranges::find(budgets, DeviceKey(id), &std::pair<DeviceKey, ReferenceNumber>::first);
    return it == budgets.end() ? nullptr : &it->second;
  };
  std::vector<std::int64_t> ids;
  for (const auto& [device, bytes] : budgets) {
    if (number_of(device) != nullptr && bytes > 0) ids.push_back(*number_of(device));
  }
  std::ranges::sort(ids);
  const std::int64_t low = request.mend ? ids.front() : 0;
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    ReferenceNumber& bytes = *budget_of(ids[i]);
    if (!(low_zero && ids[i] == low)) bytes = first_min(per_gpu, bytes);
  }
  if (!low_zero) return out;
  const auto required = [&](std::int64_t id) -> ReferenceNumber& {
    ReferenceNumber* found = budget_of(id);
    if (found == nullptr) throw ReferenceError("KeyError", std::to_string(id));
    return *found;
  };
  ReferenceNumber others = 0;
  if (request.mend) {
    for (std::size_t i = 1; i < ids.size(); ++i) others += *budget_of(ids[i]);
  } else {
    for (std::int64_t id = 1; id < count; ++id) others += required(id);
  }
  ReferenceNumber& zero = required(low);
  zero = first_min(first_max(ReferenceNumber(0), layers.total() - others), zero);
  return out;
}

}  // namespace bigmodel
