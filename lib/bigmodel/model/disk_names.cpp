// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/disk_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// A tensor relative to some module: in files, in memory.
struct Relative {
  std::string file;
  Shape shape;
  std::string memory;
  const TensorTemplate* tensor;
};

[[noreturn]] void misfit(const std::string& memory, std::string_view form, const Shape& shape) {
  throw FormatError(fmt::format("{}: its on-disk form ({}) does not fit shape {}", memory, form, to_string(shape)));
}

void expand(const DiskForm& form, Shape shape, const std::string& memory, const TensorTemplate* tensor, std::vector<Relative>& out) {
  const auto axis = [&]() -> std::int64_t& {
    if (form.axis < 0 || static_cast<std::size_t>(form.axis) >= shape.size()) misfit(memory, "axis", shape);
    return shape[static_cast<std::size_t>(form.axis)];
  };
  switch (form.kind) {
    case DiskForm::Kind::name: out.push_back({form.name, std::move(shape), memory, tensor}); return;
    case DiskForm::Kind::absent: return;
    case DiskForm::Kind::transpose:
      if (shape.size() < 2) misfit(memory, "transpose", shape);
      std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
      expand(form.forms.front(), std::move(shape), memory, tensor, out);
      return;
    case DiskForm::Kind::part: {
      std::int64_t& size = axis();
      if (form.sizes.empty()) {
        size = checked_mul(size, static_cast<std::int64_t>(form.count), memory);
      } else {
        if (size != form.sizes[static_cast<std::size_t>(form.index)]) misfit(memory, "part", shape);
        size = std::accumulate(form.sizes.begin(), form.sizes.end(), std::int64_t{0});
      }
      expand(form.forms.front(), std::move(shape), memory, tensor, out);
      return;
    }
    case DiskForm::Kind::concat:
      {
        std::int64_t left = axis();
        if (!form.sizes.empty()) {
          if (left != std::accumulate(form.sizes.begin(), form.sizes.end(), std::int64_t{0})) misfit(memory, "concat", shape);
          for (std::size_t k = 0; k < form.forms.size(); ++k) {
            axis() = form.sizes[k];
            expand(form.forms[k], shape, memory, tensor, out);
          }
          return;
        }
        // As torch.chunk cuts: where the count does not divide the size, the last piece is smaller.
        const auto pieces = static_cast<std::int64_t>(form.forms.size());
        const std::int64_t each = left / pieces + (left % pieces != 0 ? 1 : 0);
        for (const DiskForm& part : form.forms) {
          if (left <= 0) misfit(memory, "concat", tensor->shape);
          axis() = std::min(each, left);
          left -= each;
          expand(part, shape, memory, tensor, out);
        }
      }
      return;
    case DiskForm::Kind::stack:
      if (shape.empty()) misfit(memory, "stack", shape);
      shape.erase(shape.begin());
      for (const DiskForm& part : form.forms) expand(part, shape, memory, tensor, out);
      return;
  }
}

std::string without_leading_point(std::string name) {
  if (name.starts_with('.')) name.erase(0, name.find_first_not_of('.'));
  return name;
}

/// All tensors below a module, translated by its own rules and those of everything below it. Runs are expanded by name.
class Translator {
 public:
  const std::vector<Relative>& below(const ModuleTemplate& module) {
    if (const auto it = memo_.find(&module); it != memo_.end()) return it->second;
    std::vector<Relative> own;
    for (const TensorTemplate& t : module.parameters) own.push_back({t.name, t.shape, t.name, &t});
    for (const TensorTemplate& t : module.buffers) {
      if (t.persistent) own.push_back({t.name, t.shape, t.name, &t});
    }
    for (const ModuleChild& child : module.children) {
      const std::vector<Relative>& inner = below(*child.module);
      for (std::int64_t k = 0; k < child.count; ++k) {
        const std::string prefix = child.name_at(k) + ".";
        for (const Relative& r : inner) own.push_back({prefix + r.file, r.shape, prefix + r.memory, r.tensor});
      }
    }
    return memo_.emplace(&module, translated(module, std::move(own))).first->second;
  }

 private:
  static std::vector<Relative> translated(const ModuleTemplate& module, std::vector<Relative> own) {
    bool any = false;
    for (const DiskRule& rule : module.disk) any = any || !rule.legacy;
    if (!any) return own;
    std::vector<Relative> out;
    out.reserve(own.size());
    for (Relative& r : own) {
      const DiskRule* hit = nullptr;
      for (const DiskRule& rule : module.disk) {
        if (rule.legacy) continue;
        const bool exact = r.file == rule.path;
        const bool whole = rule.form.kind == DiskForm::Kind::name || rule.form.kind == DiskForm::Kind::absent;
        const bool subtree = whole && r.file.size() > rule.path.size() &&
                             r.file.starts_with(rule.path) && r.file[rule.path.size()] == '.';
        if (!exact && !subtree) continue;
        hit = &rule;
        if (rule.form.kind == DiskForm::Kind::absent) break;
        if (exact) {
          expand(rule.form, r.shape, r.memory, r.tensor, out);
        } else {
          out.push_back({without_leading_point(rule.form.name + r.file.substr(rule.path.size())), r.shape, r.memory, r.tensor});
        }
        break;
      }
      if (hit == nullptr) out.push_back(std::move(r));
    }
    return out;
  }

  std::unordered_map<const ModuleTemplate*, std::vector<Relative>> memo_;
};

}  // namespace

std::vector<DiskTensor> disk_tensors(const MetaGraph& graph, DType model_dtype) {
  std::unordered_set<std::string> unwritten;
  for (std::size_t i = 0; i < graph.tied.size(); ++i) {
    for (const std::string& name : graph.tied[i]) {
      if (name != graph.tie_sources[i]) unwritten.insert(name);
    }
  }
  Translator translator;
  std::unordered_set<std::string> seen;
  std::vector<DiskTensor> out;
  for (const Relative& r : translator.below(*graph.root)) {
    if (unwritten.contains(r.memory) || !seen.insert(r.file).second) continue;
    out.push_back({r.file, r.shape, resolved_dtype(*r.tensor, model_dtype), r.memory});
  }
  return out;
}

}  // namespace bigmodel
