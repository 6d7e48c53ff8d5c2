// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/shape.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel {
namespace {

std::string joined(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

std::string_view parent_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
}

struct Sizes {
  std::int64_t weights = 0, buffers = 0;
  double read = 0;
};

/// Looks up rows of its table: nn.Embedding, and the classes derived from it that descriptions and foreign trees name so.
bool is_lookup(const ModuleTemplate& module) {
  return module.children.empty() && module.parameters.size() == 1 && module.parameters[0].shape.size() == 2 &&
         (module.layer_kind == "Embedding" || module.class_name.ends_with("Embedding"));
}

class PartBuilder {
 public:
  PartBuilder(const MetaGraph& graph, const PlacementRequest& request)
      : graph_(graph), request_(request), no_split_(request.no_split.begin(), request.no_split.end()),
        sequences_(static_cast<double>(request.cache.batch) * static_cast<double>(request.cache.beams)), plan_(plan_cache(graph)) {
    for (const CacheLayer& layer : plan_.layers) caching_.insert(layer.module);
    for (const std::string& name : request.sliced) {
      const Found found = find_tensor(name);
      if (found.tensor != nullptr && found.tensor->shape.size() > 2) stacks_.insert(std::string(parent_of(name)));
    }
  }

  std::vector<PlacementPart> build() {
    descend(*graph_.root, "", 1.0);
    apply_special_dtypes();
    add_caches();
    find_slots();
    merge_ties();
    return std::move(parts_);
  }

 private:
  std::int64_t bytes_of(const TensorTemplate& tensor) const {
    if (request_.saved_only && !tensor.persistent) return 0;
    DType dtype = resolved_dtype(tensor, request_.dtype);
    if (request_.cast && tensor.dtype && is_floating_point(dtype) && bit_size(request_.dtype) < bit_size(dtype)) dtype = request_.dtype;
    return byte_count(dtype, element_count(tensor.shape, tensor.name));
  }

  /// Whether a module that caches lies at or below the path.
  bool caches_below(const std::string& path) const {
    if (path.empty()) return !caching_.empty();
    if (caching_.contains(path)) return true;
    const std::string inside = path + ".";
    const auto it = caching_.lower_bound(inside);
    return it != caching_.end() && it->starts_with(inside);
  }

  bool has_attention(const ModuleTemplate& module) {
    if (const auto it = attends_.find(&module); it != attends_.end()) return it->second;
    bool found = module.block && module.block->kind.ends_with("attention");
    for (const ModuleChild& child : module.children) found = has_attention(*child.module) || found;
    attends_.emplace(&module, found);
    return found;
  }

  Sizes own_sizes(const ModuleTemplate& module) const {
    Sizes out;
    for (const TensorTemplate& t : module.parameters) out.weights = checked_add(out.weights, bytes_of(t), t.name);
    for (const TensorTemplate& t : module.buffers) out.buffers = checked_add(out.buffers, bytes_of(t), t.name);
    out.read = static_cast<double>(out.weights);
    if (is_lookup(module)) {
      const double rows = static_cast<double>(std::max<std::int64_t>(module.parameters[0].shape[0], 1));
      out.read *= std::min(1.0, sequences_ / rows);
    }
    return out;
  }

  Sizes below(const ModuleTemplate& module) {
    if (const auto it = sizes_.find(&module); it != sizes_.end()) return it->second;
    Sizes out = own_sizes(module);
    for (const ModuleChild& child : module.children) {
      const Sizes each = below(*child.module);
      out.weights = checked_add(out.weights, checked_mul(each.weights, child.count, module.class_name), module.class_name);
      out.buffers = checked_add(out.buffers, checked_mul(each.buffers, child.count, module.class_name), module.class_name);
      out.read += each.read * static_cast<double>(child.count) * share_of(module, child.name, *child.module);
    }
    return sizes_.emplace(&module, out).first->second;
  }

  /// How much of a child a step reads: of a mixture's experts those that are visited.
  double share_of(const ModuleTemplate& module, std::string_view child_name, const ModuleTemplate& child) const {
    const bool experts = module.block && module.block->kind == "moe" && !child_name.empty() && member_path(*module.block, "experts") == child_name;
    return experts ? visited_share(*module.block, child) : 1.0;
  }

  /// The expected share of experts that `sequences` tokens visit, each `top_k` of them at random.
  double visited_share(const Block& moe, const ModuleTemplate& experts) const {
    const std::optional<std::int64_t> top_k = moe.error.empty() ? integer_property(moe, "top_k") : std::nullopt;
    double count = 0;
    for (const TensorTemplate& t : experts.parameters) {
      if (t.shape.size() >= 2) count = std::max(count, static_cast<double>(t.shape[0]));
    }
    if (count == 0) {
      for (const ModuleChild& child : experts.children) count += static_cast<double>(child.count);
    }
    if (!top_k || *top_k < 1 || count < 1) return 1.0;
    const double each = std::min(1.0, static_cast<double>(*top_k) / count);
    return 1.0 - std::pow(1.0 - each, sequences_);
  }

  /// `share`: how much of what lies here a step of decoding reads; 0 below what does not run then.
  void descend(const ModuleTemplate& module, const std::string& path, double share) {
    const bool whole = module.children.empty() || (!path.empty() && no_split_.contains(module.class_name));
    if (whole) {
      add_whole(module, path, share);
      return;
    }
    for (const TensorTemplate& t : module.parameters) {
      const std::int64_t bytes = bytes_of(t);
      add_part(joined(path, t.name), {bytes, 0, static_cast<double>(bytes)}, share);
    }
    for (const TensorTemplate& t : module.buffers) add_part(joined(path, t.name), {0, bytes_of(t), 0}, share);
    const bool has_body = share > 0 && caches_below(path);
    for (const ModuleChild& child : module.children) {
      for (std::int64_t k = 0; k < child.count; ++k) {
        const std::string name = joined(path, child.name_at(k));
        // Beside a body that caches, what attends without caching is an encoder or a tower.
        const bool idle = has_body && !caches_below(name) && has_attention(*child.module);
        descend(*child.module, name, idle ? 0 : share * share_of(module, child.name, *child.module));
      }
    }
  }

  /// One part, and one each for stacks below that come in slices: what is read in every step goes before what is read now and then.
  void add_whole(const ModuleTemplate& module, const std::string& path, double share) {
    Sizes rest = below(module);
    const std::string inside = path + ".";
    std::vector<std::pair<std::string, Sizes>> apart;
    for (auto it = stacks_.lower_bound(inside); it != stacks_.end() && it->starts_with(inside); ++it) {
      const ModuleTemplate& stack = *find_module(graph_, *it);
      const std::string_view above = parent_of(*it);
      Sizes sizes = below(stack);
      sizes.read *= share_of(*find_module(graph_, above), std::string_view(*it).substr(above.empty() ? 0 : above.size() + 1), stack);
      rest.weights -= sizes.weights;
      rest.buffers -= sizes.buffers;
      rest.read -= sizes.read;
      apart.emplace_back(*it, sizes);
    }
    add_part(path, rest, share);
    for (const auto& [name, sizes] : apart) add_part(name, sizes, share);
  }

  void add_part(const std::string& name, const Sizes& sizes, double share) {
    index_.emplace(name, parts_.size());
    parts_.push_back({.names = {name}, .weights_bytes = sizes.weights, .buffers_bytes = sizes.buffers, .read_bytes = share * sizes.read, .on_demand = stacks_.contains(name)});
  }

  /// The part that holds a module or tensor, by the longest prefix of its name; else the first part below it.
  std::size_t part_of(std::string_view name) const {
    for (std::string_view at = name;; at = parent_of(at)) {
      if (const auto it = index_.find(std::string(at)); it != index_.end()) return it->second;
      if (at.empty()) break;
    }
    const std::string inside = std::string(name) + ".";
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].names.front().starts_with(inside)) return i;
    }
    return parts_.size();
  }

  struct Found {
    const TensorTemplate* tensor = nullptr;
    const ModuleTemplate* owner = nullptr;
    bool buffer = false;
  };

  Found find_tensor(std::string_view name) const {
    const ModuleTemplate* owner = find_module(graph_, parent_of(name));
    if (owner == nullptr) return {};
    const std::string_view local = name.substr(parent_of(name).empty() ? 0 : parent_of(name).size() + 1);
    if (const TensorTemplate* t = find_parameter(*owner, local)) return {t, owner, false};
    const auto it = std::ranges::find(owner->buffers, local, &TensorTemplate::name);
    if (it == owner->buffers.end()) return {};
    return {&*it, owner, true};
  }

  std::int64_t special_bytes(const std::string& name, const TensorTemplate& tensor) const {
    const auto it = std::ranges::find(request_.special_dtypes, name, &std::pair<std::string, DType>::first);
    if (it == request_.special_dtypes.end()) return bytes_of(tensor);
    return byte_count(it->second, element_count(tensor.shape, tensor.name));
  }

  void apply_special_dtypes() {
    for (const auto& [name, dtype] : request_.special_dtypes) {
      const Found found = find_tensor(name);
      const std::size_t i = part_of(name);
      if (found.tensor == nullptr || i == parts_.size()) {
        throw NotFoundError(fmt::format("special dtype: the model has no tensor '{}'", name.substr(0, 200)));
      }
      const std::int64_t more = special_bytes(name, *found.tensor) - bytes_of(*found.tensor);
      PlacementPart& part = parts_[i];
      std::int64_t& bytes = found.buffer ? part.buffers_bytes : part.weights_bytes;
      if (!found.buffer && part.read_bytes > 0) part.read_bytes += static_cast<double>(more);
      bytes = checked_add(bytes, more, name);
    }
  }

  void add_caches() {
    if (request_.cache.context == 0) return;
    const CacheSize size = cache_size(plan_, request_.cache);
    for (std::size_t l = 0; l < plan_.layers.size(); ++l) {
      const std::size_t i = part_of(plan_.layers[l].module);
      if (i < parts_.size()) parts_[i].cache_bytes = checked_add(parts_[i].cache_bytes, size.layer_bytes[l], plan_.layers[l].module);
    }
  }

  /// Before ties are merged: each name of a tied weight is streamed by itself.
  void find_slots() {
    for (PlacementPart& part : parts_) part.slot_bytes = part.weights_bytes + part.buffers_bytes;
    std::unordered_map<std::string_view, std::int64_t> slices;   // of a module's stacks
    std::set<std::size_t> stacked;
    for (const std::string& name : request_.sliced) {
      const Found found = find_tensor(name);
      const std::size_t i = part_of(name);
      if (found.tensor == nullptr || i == parts_.size()) continue;
      const std::int64_t bytes = special_bytes(name, *found.tensor);
      const Shape& shape = found.tensor->shape;
      parts_[i].slot_bytes -= bytes;
      if (shape.size() < 3) continue;
      slices[parent_of(name)] += bytes / std::max<std::int64_t>(shape.front(), 1);
      stacked.insert(i);
    }
    std::int64_t largest = 0;
    for (const auto& [module, bytes] : slices) largest = std::max(largest, bytes);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].slot_bytes > 0 || stacked.contains(i)) parts_[i].slot_bytes += largest;
    }
  }

  /// Joins the parts of every tied group and counts its tensor once.
  void merge_ties() {
    std::vector<std::size_t> root(parts_.size());
    std::iota(root.begin(), root.end(), std::size_t{0});
    const auto top = [&root](std::size_t i) {
      while (root[i] != i) i = root[i] = root[root[i]];
      return i;
    };
    for (const std::vector<std::string>& group : graph_.tied) {
      std::size_t first = parts_.size();
      for (const std::string& name : group) {
        const std::size_t i = part_of(name);
        if (i == parts_.size()) continue;
        if (first == parts_.size()) {
          first = i;
          continue;
        }
        const Found found = find_tensor(name);
        if (found.tensor != nullptr) parts_[i].weights_bytes -= special_bytes(name, *found.tensor);
        const std::size_t a = top(first), b = top(i);
        root[std::max(a, b)] = std::min(a, b);
      }
    }
    std::vector<PlacementPart> merged;
    std::vector<std::size_t> place(parts_.size());
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (top(i) == i) {
        place[i] = merged.size();
        merged.push_back(std::move(parts_[i]));
        continue;
      }
      PlacementPart& into = merged[place[top(i)]];
      into.names.push_back(std::move(parts_[i].names.front()));
      into.weights_bytes += parts_[i].weights_bytes;
      into.buffers_bytes += parts_[i].buffers_bytes;
      into.cache_bytes += parts_[i].cache_bytes;
      into.read_bytes += parts_[i].read_bytes;
      into.slot_bytes = std::max(into.slot_bytes, parts_[i].slot_bytes);
    }
    parts_ = std::move(merged);
  }

  const MetaGraph& graph_;
  const PlacementRequest& request_;
  std::set<std::string, std::less<>> no_split_;
  double sequences_;
  CachePlan plan_;
  std::set<std::string> caching_;
  std::set<std::string> stacks_;   ///< modules with stacks that come in slices
  std::vector<PlacementPart> parts_;
  std::unordered_map<std::string, std::size_t> index_;
  std::unordered_map<const ModuleTemplate*, Sizes> sizes_;
  std::unordered_map<const ModuleTemplate*, bool> attends_;
};

}  // namespace

std::vector<PlacementPart> placement_parts(const MetaGraph& graph, const PlacementRequest& request) {
  return PartBuilder(graph, request).build();
}

}  // namespace bigmodel
