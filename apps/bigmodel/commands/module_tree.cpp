// SPDX-License-Identifier: Apache-2.0
#include "commands/module_tree.h"

#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/dtype.h"
#include "bigmodel/core/shape.h"

namespace bigmodel::app {
namespace {

struct Size {
  std::int64_t parameters = 0;
  std::int64_t size_bytes = 0;
};

class TreeBuilder {
 public:
  TreeBuilder(const MetaGraph& graph, DType model_dtype) : dtype_(model_dtype) {
    for (const std::vector<std::string>& group : graph.tied) {
      for (std::size_t i = 1; i < group.size(); ++i) subtract(graph, group[i]);
    }
  }

  TreeNode build(const ModuleTemplate& module, const std::string& path, std::string name, std::int64_t count) {
    const Size size = below(module);
    TreeNode node{.name = std::move(name), .path = path, .class_name = module.class_name, .count = count,
                  .parameters = size.parameters, .size_bytes = size.size_bytes};
    if (const auto it = tied_.find(path); it != tied_.end()) {
      node.parameters -= it->second.parameters;
      node.size_bytes -= it->second.size_bytes;
    }
    for (std::size_t i = 0; i < module.children.size();) {
      const ModuleChild& first = module.children[i];
      std::int64_t together = first.count;
      std::size_t next = i + 1;
      while (next < module.children.size() && follows(first, together, module.children[next])) {
        together += module.children[next++].count;
      }
      const std::string first_name = first.name_at(0);
      const std::string shown =
          together == 1 ? first_name : fmt::format("{}-{}", first_name, std::stoll(first_name) + together - 1);
      node.children.push_back(
          build(*first.module, path.empty() ? first_name : path + "." + first_name, shown, together));
      i = next;
    }
    fold_list(node);
    return node;
  }

 private:
  /// "layers" with nothing but "0-79" below is shown as "layers.0-79".
  static void fold_list(TreeNode& node) {
    if (node.class_name != "ModuleList" || node.count != 1 || node.children.size() != 1) return;
    TreeNode only = std::move(node.children.front());
    if (only.count == 1) {
      node.children.front() = std::move(only);
      return;
    }
    only.name = fmt::format("{}.{}", node.name, only.name);
    node = std::move(only);
  }

  static bool is_number(const std::string& text) {
    return !text.empty() && text.size() < 18 && text.find_first_not_of("0123456789") == std::string::npos;
  }

  /// Whether `child` is numbered on after `together` equal ones from `first`.
  static bool follows(const ModuleChild& first, std::int64_t together, const ModuleChild& child) {
    const std::string first_name = first.name_at(0);
    const std::string name = child.name_at(0);
    return child.module == first.module && is_number(first_name) && is_number(name) &&
           std::stoll(name) == std::stoll(first_name) + together;
  }

  Size of_tensor(const TensorTemplate& tensor, bool parameter) const {
    const std::int64_t elements = element_count(tensor.shape, tensor.name);
    return {parameter ? elements : 0, byte_count(resolved_dtype(tensor, dtype_), elements)};
  }

  static void add(Size& into, const Size& more, std::int64_t times, std::string_view what) {
    into.parameters = checked_add(into.parameters, checked_mul(more.parameters, times, what), what);
    into.size_bytes = checked_add(into.size_bytes, checked_mul(more.size_bytes, times, what), what);
  }

  const Size& below(const ModuleTemplate& module) {
    if (const auto it = sizes_.find(&module); it != sizes_.end()) return it->second;
    Size size;
    for (const TensorTemplate& t : module.parameters) add(size, of_tensor(t, true), 1, module.class_name);
    for (const TensorTemplate& t : module.buffers) add(size, of_tensor(t, false), 1, module.class_name);
    for (const ModuleChild& child : module.children) add(size, below(*child.module), child.count, module.class_name);
    return sizes_.emplace(&module, size).first->second;
  }

  /// A further name of a tied tensor weighs nothing: it is taken off every module above it.
  void subtract(const MetaGraph& graph, const std::string& name) {
    const std::size_t dot = name.rfind('.');
    const std::string owner = dot == std::string::npos ? std::string{} : name.substr(0, dot);
    const ModuleTemplate* module = find_module(graph, owner);
    if (module == nullptr) return;
    for (const TensorTemplate& tensor : module->parameters) {
      if (tensor.name != name.substr(dot == std::string::npos ? 0 : dot + 1)) continue;
      const Size size = of_tensor(tensor, true);
      std::string prefix = owner;
      while (true) {
        add(tied_[prefix], size, 1, name);
        if (prefix.empty()) break;
        const std::size_t up = prefix.rfind('.');
        prefix = up == std::string::npos ? std::string{} : prefix.substr(0, up);
      }
    }
  }

  DType dtype_;
  std::unordered_map<const ModuleTemplate*, Size> sizes_;
  std::map<std::string, Size> tied_;
};

}  // namespace

TreeNode module_tree(const MetaGraph& graph, DType model_dtype) {
  return TreeBuilder(graph, model_dtype).build(*graph.root, "", "", 1);
}

}  // namespace bigmodel::app
