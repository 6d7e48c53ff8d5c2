// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/memory_estimate.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/shape.h"

namespace bigmodel {
namespace {

/// Sizes are counted in bits, because the reference's bool is one.
std::int64_t tensor_bits(const TensorTemplate& tensor) {
  const DType dtype = resolved_dtype(tensor, DType::float32);
  const std::int64_t bits = dtype == DType::boolean ? 1 : bit_size(dtype);
  return checked_mul(element_count(tensor.shape, tensor.name), bits, tensor.name);
}

std::string joined(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}

/// The largest layers below a module: their size and names relative to it.
struct Largest {
  std::int64_t bits = 0;
  std::vector<std::string> names;

  void offer(std::int64_t size, const std::string& name) {
    if (size < bits || size == 0) return;
    if (size > bits) names.clear();
    bits = size;
    names.push_back(name);
  }
};

class Estimator {
 public:
  explicit Estimator(const MetaGraph& graph)
      : no_split_(graph.no_split_modules.begin(), graph.no_split_modules.end()) {
    for (const std::vector<std::string>& group : graph.tied) {
      for (std::size_t i = 1; i < group.size(); ++i) take_off(graph, group[i]);
    }
  }

  std::int64_t total_bits(const ModuleTemplate& module, const std::string& path) {
    return below(module) - aliased(path);
  }

  /// The root's own tensors count as layers of their own; those of other modules that are split do not count.
  Largest largest(const ModuleTemplate& root) {
    Largest out;
    for (const TensorTemplate& t : root.parameters) out.offer(tensor_bits(t) - aliased(t.name), t.name);
    walk(root, "", out);
    for (const TensorTemplate& t : root.buffers) out.offer(tensor_bits(t), t.name);
    return out;
  }

 private:
  std::int64_t aliased(const std::string& path) const {
    const auto it = aliased_.find(path);
    return it == aliased_.end() ? 0 : it->second;
  }

  /// A further name of a tied tensor has no size of its own: it is taken off all modules above it.
  void take_off(const MetaGraph& graph, const std::string& name) {
    const std::size_t dot = name.rfind('.');
    const std::string owner = dot == std::string::npos ? std::string{} : name.substr(0, dot);
    const ModuleTemplate* module = find_module(graph, owner);
    if (module == nullptr) return;
    const std::string local = name.substr(dot == std::string::npos ? 0 : dot + 1);
    const auto tensor = std::ranges::find(module->parameters, local, &TensorTemplate::name);
    if (tensor == module->parameters.end()) return;
    const std::int64_t bits = tensor_bits(*tensor);
    for (std::string path = name;; path = path.substr(0, path.rfind('.'))) {
      std::int64_t& sum = aliased_[path];
      sum = checked_add(sum, bits, name);
      if (path.find('.') == std::string::npos) break;
    }
    std::int64_t& sum = aliased_[""];
    sum = checked_add(sum, bits, name);
  }

  std::int64_t below(const ModuleTemplate& module) {
    if (const auto it = bits_.find(&module); it != bits_.end()) return it->second;
    std::int64_t bits = 0;
    const auto add = [&](std::int64_t more) { bits = checked_add(bits, more, module.class_name); };
    for (const TensorTemplate& t : module.parameters) add(tensor_bits(t));
    for (const TensorTemplate& t : module.buffers) add(tensor_bits(t));
    for (const ModuleChild& child : module.children) {
      add(checked_mul(below(*child.module), child.count, module.class_name));
    }
    return bits_.emplace(&module, bits).first->second;
  }

  void walk(const ModuleTemplate& module, const std::string& path, Largest& out) {
    for (const ModuleChild& child : module.children) {
      for (std::int64_t k = 0; k < child.count; ++k) {
        const std::string name = joined(path, child.name_at(k));
        const ModuleTemplate& inner = *child.module;
        if (inner.children.empty() || no_split_.contains(inner.class_name)) {
          out.offer(total_bits(inner, name), name);
        } else if (aliased_.contains(name)) {
          walk(inner, name, out);
        } else {
          const Largest& found = cached(inner);
          if (found.bits < out.bits) break;  // equal modules: the others of the run are no larger
          for (const std::string& relative : found.names) out.offer(found.bits, joined(name, relative));
        }
      }
    }
  }

  /// The largest layers of a module without tied tensors, found once for all places where it stands.
  const Largest& cached(const ModuleTemplate& module) {
    if (const auto it = largest_.find(&module); it != largest_.end()) return it->second;
    Largest out;
    for (const ModuleChild& child : module.children) {
      const ModuleTemplate& inner = *child.module;
      const bool whole = inner.children.empty() || no_split_.contains(inner.class_name);
      const std::int64_t bits = whole ? below(inner) : cached(inner).bits;
      if (bits < out.bits) continue;
      for (std::int64_t k = 0; k < child.count; ++k) {
        if (whole) {
          out.offer(bits, child.name_at(k));
        } else {
          for (const std::string& relative : cached(inner).names) out.offer(bits, joined(child.name_at(k), relative));
        }
      }
    }
    return largest_.emplace(&module, std::move(out)).first->second;
  }

  std::set<std::string, std::less<>> no_split_;
  std::unordered_map<const ModuleTemplate*, std::int64_t> bits_;
  std::unordered_map<const ModuleTemplate*, Largest> largest_;
  std::map<std::string, std::int64_t> aliased_;  ///< bits of further names of tied tensors at or below a path
};

/// float32 bits -> whole bytes in another width.
std::int64_t scaled_bytes(std::int64_t float32_bits, DType dtype) {
  const __int128 bits = static_cast<__int128>(float32_bits) * bit_size(dtype);
  const __int128 bytes = bits / 256;
  if (bytes > INT64_MAX) throw_overflow("memory estimate");
  return static_cast<std::int64_t>(bytes);
}

}  // namespace

MemoryEstimate estimate_memory(const MetaGraph& graph, std::span<const DType> dtypes) {
  Estimator estimator(graph);
  const std::int64_t total = estimator.total_bits(*graph.root, "");
  Largest largest = estimator.largest(*graph.root);
  MemoryEstimate out;
  out.float32_total_bytes = static_cast<double>(total) / 8;
  out.float32_largest_bytes = static_cast<double>(largest.bits) / 8;
  out.largest_modules = std::move(largest.names);
  for (const DType dtype : dtypes) {
    DtypeEstimate row{.dtype = dtype,
                      .largest_layer_bytes = scaled_bytes(largest.bits, dtype),
                      .total_bytes = scaled_bytes(total, dtype)};
    row.training_adam_bytes = checked_mul(row.total_bytes, std::int64_t{4}, "memory estimate");
    out.dtypes.push_back(row);
  }
  return out;
}

}  // namespace bigmodel
