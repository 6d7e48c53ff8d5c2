// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/expanded_graph.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/model/template_pool.h"

namespace bigmodel {
namespace {

constexpr std::size_t kManyChildren = 64;

}  // namespace

ExpandedGraph::ExpandedGraph(const MetaGraph& graph) : root_(graph.root) {
  if (root_->module_count > kMostModules) {
    throw UnsupportedError(fmt::format("{}: {} modules are too many to plan, expected at most {}", graph.class_name, root_->module_count, kMostModules));
  }
  nodes_.reserve(static_cast<std::size_t>(root_->module_count));
  add(*root_, nullptr, 0, -1);
}

void ExpandedGraph::add(const ModuleTemplate& module, const ModuleChild* child, std::int64_t number, std::int32_t parent) {
  const std::int32_t me = size();
  nodes_.push_back({.module = &module, .child = child, .number = number, .parent = parent});
  const bool many = module.children.size() > kManyChildren && !many_.contains(&module);
  Places places;
  for (const ModuleChild& run : module.children) {
    if (many && run.count == 1) places.single.emplace(run.name, size() - me);
    if (many && run.count != 1) places.runs.emplace_back(&run, size() - me);
    for (std::int64_t k = 0; k < run.count; ++k) add(*run.module, &run, k, me);
  }
  if (many) many_.emplace(&module, std::move(places));
  nodes_[at(me)].end = size();
}

std::string ExpandedGraph::name(std::int32_t i) const {
  std::vector<std::string> parts;
  for (; i > 0; i = parent(i)) parts.push_back(nodes_[at(i)].child->name_at(nodes_[at(i)].number));
  std::string out;
  for (auto it = parts.rbegin(); it != parts.rend(); ++it) {
    if (!out.empty()) out += '.';
    out += *it;
  }
  return out;
}

std::string ExpandedGraph::name(const GraphEntry& entry) const {
  std::string out = name(entry.module);
  if (entry.is_module()) return out;
  if (!out.empty()) out += '.';
  return out + tensor(entry).name;
}

const TensorTemplate& ExpandedGraph::tensor(const GraphEntry& entry) const {
  const ModuleTemplate& owner = module(entry.module);
  const auto i = static_cast<std::size_t>(entry.tensor);
  return i < owner.parameters.size() ? owner.parameters[i] : owner.buffers[i - owner.parameters.size()];
}

std::optional<std::int32_t> ExpandedGraph::child_named(std::int32_t i, std::string_view name) const {
  const ModuleTemplate& owner = module(i);
  if (const auto many = many_.find(&owner); many != many_.end()) {
    if (const auto it = many->second.single.find(name); it != many->second.single.end()) return i + it->second;
    for (const auto& [run, offset] : many->second.runs) {
      if (const auto number = position_in_run(*run, name)) return static_cast<std::int32_t>(i + offset + *number * run->module->module_count);
    }
    return std::nullopt;
  }
  std::int64_t child = i + 1;
  for (const ModuleChild& run : owner.children) {
    if (const auto number = position_in_run(run, name)) return static_cast<std::int32_t>(child + *number * run.module->module_count);
    child += run.count * run.module->module_count;
  }
  return std::nullopt;
}

std::optional<std::int32_t> ExpandedGraph::find_module(std::string_view name) const {
  std::int32_t i = 0;
  while (!name.empty()) {
    const std::size_t dot = name.find('.');
    const std::optional<std::int32_t> child = child_named(i, name.substr(0, dot));
    if (!child) return std::nullopt;
    i = *child;
    if (dot == std::string_view::npos) break;
    name = name.substr(dot + 1);
    if (name.empty()) return std::nullopt;
  }
  return i;
}

std::optional<GraphEntry> ExpandedGraph::find(std::string_view name) const {
  const std::size_t dot = name.rfind('.');
  const std::string_view local = dot == std::string_view::npos ? name : name.substr(dot + 1);
  const std::optional<std::int32_t> owner = find_module(dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot));
  if (owner && !local.empty() && (dot != 0)) {
    const ModuleTemplate& m = module(*owner);
    for (const auto* tensors : {&m.parameters, &m.buffers}) {
      const auto it = std::ranges::find(*tensors, local, &TensorTemplate::name);
      if (it == tensors->end()) continue;
      const auto offset = tensors == &m.buffers ? m.parameters.size() : 0;
      return GraphEntry{*owner, static_cast<std::int32_t>(offset + static_cast<std::size_t>(it - tensors->begin()))};
    }
  }
  const std::optional<std::int32_t> found = find_module(name);
  if (!found) return std::nullopt;
  return GraphEntry{*found};
}

}  // namespace bigmodel
