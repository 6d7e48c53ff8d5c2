// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/packed_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/planning/packed_forms.h"

namespace bigmodel {
namespace {

DType container(int element_bits) { return element_bits >= 8 ? DType::int8 : element_bits >= 4 ? DType::int4 : DType::int2; }

struct Packed {
  DType dtype = DType::int8;
  std::int64_t bytes = 0;
};

using Template = std::shared_ptr<const ModuleTemplate>;

class Rewriter {
 public:
  Rewriter(const MetaGraph& graph, const QuantizationConfig& quantization) {
    const PackedForms forms(graph, quantization);
    for_each_tensor(graph, [&](const TensorVisit& visit) {
      if (!visit.tied_to.empty() || visit.is_buffer) return;
      const PackedTensor packed = forms.of(visit);
      if (packed.form != nullptr) packed_.emplace(visit.name, Packed{container(packed.form->element_bits), packed.bytes()});
    });
  }

  Template rewritten(const Template& module, const std::string& path) {
    std::string key = signature(path);
    if (key.empty()) return module;
    const auto [it, is_new] = known_.try_emplace({module.get(), std::move(key)});
    if (!is_new) return it->second;
    auto out = std::make_shared<ModuleTemplate>(*module);
    out->parameters.clear();
    for (const TensorTemplate& parameter : module->parameters) add(*out, parameter, joined(path, parameter.name));
    out->children.clear();
    for (const ModuleChild& child : module->children) {
      const std::size_t first = out->children.size();
      for (std::int64_t k = 0; k < child.count; ++k) {
        Template below = rewritten(child.module, joined(path, child.name_at(k)));
        if (out->children.size() > first && out->children.back().module == below) {
          ++out->children.back().count;
        } else {
          out->children.push_back({.name = child.name_at(k), .first_index = child.first_index + k, .count = 1, .module = std::move(below)});
        }
      }
    }
    it->second = out;
    return out;
  }

 private:
  static std::string joined(const std::string& path, std::string_view name) {
    return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
  }

  /// What is packed below a module, and how: equal for places that become equal.
  std::string signature(const std::string& path) const {
    const std::string inside = path.empty() ? path : path + ".";
    std::string out;
    for (auto it = packed_.lower_bound(inside); it != packed_.end() && it->first.starts_with(inside); ++it) {
      out += fmt::format("{} {} {};", std::string_view(it->first).substr(inside.size()), static_cast<int>(it->second.dtype), it->second.bytes);
    }
    return out;
  }

  void add(ModuleTemplate& into, const TensorTemplate& parameter, const std::string& name) const {
    into.parameters.push_back(parameter);
    const auto it = packed_.find(name);
    if (it == packed_.end()) return;
    into.parameters.back().dtype = it->second.dtype;
    const std::int64_t rest = it->second.bytes - byte_count(it->second.dtype, element_count(parameter.shape, name));
    if (rest <= 0) return;
    into.parameters.push_back({.name = parameter.name + "_packing", .shape = {rest}, .dtype = DType::uint8, .place = parameter.place});
  }

  std::map<std::string, Packed> packed_;
  std::map<std::pair<const ModuleTemplate*, std::string>, Template> known_;
};

}  // namespace

MetaGraph packed_graph(const MetaGraph& graph, const QuantizationConfig& quantization) {
  MetaGraph out = graph;
  out.root = Rewriter(graph, quantization).rewritten(graph.root, "");
  return out;
}

}  // namespace bigmodel
