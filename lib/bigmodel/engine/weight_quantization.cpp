// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/weight_quantization.h"

#include <algorithm>
#include <unordered_set>

#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/module.h"
#include "bigmodel/ops/blocks.h"

namespace bigmodel {
namespace {

class Finder {
 public:
  explicit Finder(const MetaGraph& graph) : graph_(graph) {
    for (const auto& group : graph.tied) kept_.insert(group.begin(), group.end());
  }

  void visit(Module& module, bool in_layer) {
    in_layer = in_layer || is_layer(module, graph_);
    if (module.block() != nullptr) {
      for (const ModuleTensor* t : module.block()->exact_matrices(module)) kept_.insert(t->full_name);
      if (in_layer) add(module);
    }
    for (const auto& child : module.children()) visit(*child, in_layer);
  }

  std::vector<std::string> take() {
    std::erase_if(found_, [&](const std::string& name) { return kept_.contains(name); });
    return std::move(found_);
  }

 private:
  void add(Module& module) {
    for (const ModuleTensor* t : module.block()->matrices(module)) {
      const Shape& shape = t->meta->shape;
      if (!t->meta->dtype && shape.size() >= 2 && shape.back() > 0 && shape.back() % ops::kBlock == 0) found_.push_back(t->full_name);
    }
  }

  const MetaGraph& graph_;
  std::unordered_set<std::string> kept_;
  std::vector<std::string> found_;
};

}  // namespace

bool is_layer(const Module& module, const MetaGraph& graph) {
  if (module.meta().block && module.meta().block->kind.ends_with("_layer")) return true;
  return std::ranges::find(graph.no_split_modules, module.meta().class_name) != graph.no_split_modules.end();
}

std::vector<std::string> quantizable_weights(Module& root, const MetaGraph& graph) {
  Finder finder(graph);
  finder.visit(root, false);
  return finder.take();
}

std::vector<std::string> quantizable_weights(const MetaGraph& graph) {
  const std::unique_ptr<Module> root = build_module_tree(graph);
  Binder binder;
  binder.bind(*root);
  return quantizable_weights(*root, graph);
}

}  // namespace bigmodel
