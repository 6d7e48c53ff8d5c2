// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/graph_from_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/model/template_pool.h"

namespace bigmodel {
namespace {

constexpr std::size_t kMostTensors = 2'000'000;
constexpr int kMostLevels = 64;
constexpr std::string_view kBlockClass = "Block";

/// A module (children) or a tensor, never both.
struct Node {
  std::string name;
  const TensorInfo* tensor = nullptr;
  std::vector<std::size_t> children;                     ///< indices of nodes, in order of appearance
  std::unordered_map<std::string_view, std::size_t> at;  ///< child by name
};

class Tree {
 public:
  explicit Tree(const std::string& where) : where_(where), nodes_(1) {}

  void add(const TensorInfo& tensor) {
    std::size_t node = 0;
    std::string_view rest = tensor.name;
    for (int level = 1;; ++level) {
      const std::size_t dot = rest.find('.');
      const std::string_view part = rest.substr(0, dot);
      if (part.empty()) throw fault(tensor, "has an empty part");
      if (level > kMostLevels) throw fault(tensor, fmt::format("has more than {} parts", kMostLevels));
      const bool last = dot == std::string_view::npos;
      const auto known = nodes_[node].at.find(part);
      if (known == nodes_[node].at.end()) {
        const std::size_t added = nodes_.size();
        nodes_.push_back({.name = std::string(part)});
        nodes_[node].children.push_back(added);
        nodes_[node].at.emplace(part, added);  // `part` lives in the caller's tensors
        node = added;
        if (last) nodes_[node].tensor = &tensor;
      } else {
        node = known->second;
        if (last) throw fault(tensor, nodes_[node].tensor != nullptr ? "is there twice" : "is a tensor and a module at once");
      }
      if (last) return;
      if (nodes_[node].tensor != nullptr) throw fault(*nodes_[node].tensor, "is a tensor and a module at once");
      rest.remove_prefix(dot + 1);
    }
  }

  const Node& operator[](std::size_t i) const { return nodes_[i]; }

 private:
  FormatError fault(const TensorInfo& tensor, const std::string& what) const {
    return FormatError(fmt::format("{}: tensor '{}' {}", where_, tensor.name.substr(0, 200), what));
  }

  const std::string& where_;
  std::vector<Node> nodes_;
};

/// What a model's dtype applies to: neither whole numbers nor packed eighths.
bool is_continuous(DType dtype) { return is_floating_point(dtype) && bit_size(dtype) > 8; }

bool is_buffer(const TensorInfo& tensor, std::string_view name) {
  return (!is_floating_point(tensor.dtype) && !is_complex(tensor.dtype)) || name == "running_mean" || name == "running_var";
}

TensorTemplate tensor_template(const Node& node) {
  TensorTemplate out;
  out.name = node.name;
  out.shape = node.tensor->shape;
  if (!is_continuous(node.tensor->dtype)) out.dtype = node.tensor->dtype;
  return out;
}

class Builder {
 public:
  explicit Builder(const Tree& tree) : tree_(tree) {}

  std::shared_ptr<const ModuleTemplate> module(std::size_t index, std::string class_name, bool in_block) {
    const Node& node = tree_[index];
    std::vector<std::size_t> modules;
    ModuleTemplate out;
    for (const std::size_t i : node.children) {
      const Node& child = tree_[i];
      if (child.tensor == nullptr) {
        modules.push_back(i);
      } else {
        (is_buffer(*child.tensor, child.name) ? out.buffers : out.parameters).push_back(tensor_template(child));
      }
    }
    const auto number = [this](std::size_t i) { return parse_list_index(tree_[i].name); };
    const bool numbered = !modules.empty() && out.parameters.empty() && out.buffers.empty() && std::ranges::all_of(modules, [&](std::size_t i) { return number(i).has_value(); });
    if (numbered) std::ranges::sort(modules, {}, number);
    out.class_name = !class_name.empty() ? std::move(class_name) : numbered ? "ModuleList" : "Module";
    for (const std::size_t i : modules) {
      const bool block = numbered && !in_block;
      std::shared_ptr<const ModuleTemplate> child = module(i, block ? std::string(kBlockClass) : std::string{}, in_block || block);
      out.module_count = checked_add(out.module_count, child->module_count, tree_[i].name);
      append_children(out.children, tree_[i].name, 1, std::move(child));
    }
    return pool_.intern(std::move(out));
  }

 private:
  const Tree& tree_;
  TemplatePool pool_;
};

/// The floating-point dtype that holds most elements.
std::optional<DType> usual_dtype(std::span<const TensorInfo> tensors) {
  std::map<DType, double> elements;
  for (const TensorInfo& t : tensors) {
    if (is_continuous(t.dtype)) elements[t.dtype] += static_cast<double>(element_count(t.shape, t.name));
  }
  const auto most = std::ranges::max_element(elements, {}, [](const auto& item) { return item.second; });
  return most == elements.end() ? std::nullopt : std::optional(most->first);
}

}  // namespace

MetaGraph graph_from_checkpoint(const Config& config, std::span<const TensorInfo> tensors,
                                std::span<const std::vector<std::string>> tied) {
  if (tensors.empty()) throw FormatError(fmt::format("{}: the checkpoint beside it has no tensors", config.where));
  if (tensors.size() > kMostTensors) {
    throw FormatError(fmt::format("{}: the checkpoint beside it has {} tensors, expected at most {}", config.where, tensors.size(), kMostTensors));
  }
  Tree tree(config.where);
  for (const TensorInfo& t : tensors) tree.add(t);
  MetaGraph graph;
  graph.model_type = config.model_type;
  graph.class_name = config.architectures.empty() ? "Model" : config.architectures.front();
  graph.root = Builder(tree).module(0, graph.class_name, false);
  graph.no_split_modules = {std::string(kBlockClass)};
  graph.stored_dtype = usual_dtype(tensors);
  graph.assumptions = {
      fmt::format("model type '{}' is not described: the graph is built from the names and shapes of the checkpoint's {} tensors",
                  config.model_type, tensors.size()),
      "whole-numbered tensors and running statistics count as buffers, and every numbered block as one layer; tensors that share memory "
      "or are made when loading are known only where the file shows them"};
  for (const std::vector<std::string>& group : tied) {
    graph.tied.push_back(group);
    graph.tie_sources.push_back(group.front());
  }
  return graph;
}

}  // namespace bigmodel
