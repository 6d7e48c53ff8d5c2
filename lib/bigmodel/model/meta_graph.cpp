// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/meta_graph.h"

#include "bigmodel/core/checked_math.h"
#include "bigmodel/model/template_pool.h"

namespace bigmodel {
namespace {

std::string joined(const std::string& prefix, std::string_view name) {
  if (prefix.empty()) return std::string(name);
  std::string out;
  out.reserve(prefix.size() + 1 + name.size());
  out.append(prefix).append(1, '.').append(name);
  return out;
}

void walk(const std::string& name, const ModuleTemplate& module,
          const std::function<void(const std::string&, const ModuleTemplate&)>& visit) {
  visit(name, module);
  for (const ModuleChild& child : module.children) {
    for (std::int64_t k = 0; k < child.count; ++k) walk(joined(name, child.name_at(k)), *child.module, visit);
  }
}

/// Elements of a subtree as if nothing were tied; multiplied through runs, so that depth costs nothing.
struct RawTotals {
  std::int64_t parameters = 0, buffers = 0, parameter_tensors = 0, buffer_tensors = 0;
};

constexpr std::string_view kObject = "the model";

RawTotals raw_totals(const ModuleTemplate& module, std::unordered_map<const ModuleTemplate*, RawTotals>& memo) {
  if (const auto it = memo.find(&module); it != memo.end()) return it->second;
  RawTotals out;
  for (const TensorTemplate& t : module.parameters) {
    out.parameters = checked_add(out.parameters, element_count(t.shape, t.name), kObject);
  }
  for (const TensorTemplate& t : module.buffers) {
    out.buffers = checked_add(out.buffers, element_count(t.shape, t.name), kObject);
  }
  out.parameter_tensors = static_cast<std::int64_t>(module.parameters.size());
  out.buffer_tensors = static_cast<std::int64_t>(module.buffers.size());
  for (const ModuleChild& child : module.children) {
    const RawTotals below = raw_totals(*child.module, memo);
    const auto add = [&child](std::int64_t& to, std::int64_t each) {
      to = checked_add(to, checked_mul(each, child.count, kObject), kObject);
    };
    add(out.parameters, below.parameters);
    add(out.buffers, below.buffers);
    add(out.parameter_tensors, below.parameter_tensors);
    add(out.buffer_tensors, below.buffer_tensors);
  }
  memo.emplace(&module, out);
  return out;
}

/// The child that a path component names, and whether it exists.
const ModuleTemplate* child_named(const ModuleTemplate& module, std::string_view name) {
  for (const ModuleChild& child : module.children) {
    if (position_in_run(child, name)) return child.module.get();
  }
  return nullptr;
}

}  // namespace

void for_each_module(const MetaGraph& graph,
                     const std::function<void(const std::string&, const ModuleTemplate&)>& visit) {
  walk("", *graph.root, visit);
}

void for_each_tensor(const MetaGraph& graph, const std::function<void(const TensorVisit&)>& visit) {
  const std::unordered_map<std::string, std::string> tied = tied_names(graph);
  for (const bool buffers : {false, true}) {
    for_each_module(graph, [&](const std::string& module_name, const ModuleTemplate& module) {
      for (const TensorTemplate& tensor : buffers ? module.buffers : module.parameters) {
        const std::string name = joined(module_name, tensor.name);
        const auto it = tied.find(name);
        visit({name, tensor, module, buffers, it == tied.end() ? std::string_view{} : std::string_view(it->second)});
      }
    });
  }
}

std::unordered_map<std::string, std::string> tied_names(const MetaGraph& graph) {
  std::unordered_map<std::string, std::string> out;
  for (const std::vector<std::string>& group : graph.tied) {
    for (std::size_t i = 1; i < group.size(); ++i) out.emplace(group[i], group.front());
  }
  return out;
}

DType resolved_dtype(const TensorTemplate& tensor, DType model_dtype) {
  if (tensor.dtype) return *tensor.dtype;
  if (tensor.keep_float32 && model_dtype == DType::float16) return DType::float32;
  return model_dtype;
}

const ModuleTemplate* find_below(const ModuleTemplate& module, std::string_view path) {
  const ModuleTemplate* at = &module;
  while (!path.empty() && at != nullptr) {
    const std::size_t dot = path.find('.');
    at = child_named(*at, path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
  }
  return at;
}

const ModuleTemplate* find_module(const MetaGraph& graph, std::string_view name) { return find_below(*graph.root, name); }

GraphTotals graph_totals(const MetaGraph& graph) {
  std::unordered_map<const ModuleTemplate*, RawTotals> memo;
  const RawTotals raw = raw_totals(*graph.root, memo);
  GraphTotals out{raw.parameters, raw.buffers, 0, raw.parameter_tensors};
  for (const auto& [name, first] : tied_names(graph)) {
    const std::size_t dot = first.rfind('.');
    const ModuleTemplate* module =
        find_module(graph, dot == std::string::npos ? std::string_view{} : std::string_view(first).substr(0, dot));
    if (module == nullptr) continue;
    const std::string_view local = dot == std::string::npos ? std::string_view(first) : std::string_view(first).substr(dot + 1);
    for (const TensorTemplate& t : module->parameters) {
      if (t.name != local) continue;
      out.parameters -= element_count(t.shape, t.name);
      out.parameter_tensors -= 1;
    }
  }
  out.tensors = checked_add(out.parameter_tensors, raw.buffer_tensors, kObject);
  return out;
}

}  // namespace bigmodel
