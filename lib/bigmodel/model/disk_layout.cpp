// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/disk_layout.h"

#include <unordered_map>

namespace bigmodel {
namespace {

struct Relative {
  std::string memory;
  const TensorTemplate* tensor;
  bool is_buffer;
  DiskForm form;
};

DiskForm named(std::string name) {
  DiskForm out;
  out.name = std::move(name);
  return out;
}

void prefix_leaves(DiskForm& form, const std::string& prefix) {
  if (form.kind == DiskForm::Kind::name) form.name.insert(0, prefix);
  for (DiskForm& f : form.forms) prefix_leaves(f, prefix);
}

/// Applies a module's rules to the leaves, whose names are relative to it.
void translate_leaves(DiskForm& form, const ModuleTemplate& module, bool legacy) {
  for (DiskForm& f : form.forms) translate_leaves(f, module, legacy);
  if (form.kind != DiskForm::Kind::name) return;
  for (const DiskRule& rule : module.disk) {
    if (rule.legacy && !legacy) continue;
    if (form.name == rule.path) {
      form = rule.form;
      return;
    }
    const bool below = form.name.size() > rule.path.size() && form.name.starts_with(rule.path) && form.name[rule.path.size()] == '.';
    if (!below) continue;
    if (rule.form.kind == DiskForm::Kind::absent) {
      form = rule.form;
    } else if (rule.form.kind == DiskForm::Kind::name) {
      std::string name = rule.form.name + form.name.substr(rule.path.size());
      if (name.starts_with('.')) name.erase(0, name.find_first_not_of('.'));
      form.name = std::move(name);
    } else {
      continue;
    }
    return;
  }
}

class Translator {
 public:
  explicit Translator(bool legacy) : legacy_(legacy) {}

  const std::vector<Relative>& below(const ModuleTemplate& module) {
    if (const auto it = memo_.find(&module); it != memo_.end()) return it->second;
    std::vector<Relative> out;
    for (const TensorTemplate& t : module.parameters) out.push_back({t.name, &t, false, named(t.name)});
    for (const TensorTemplate& t : module.buffers) {
      if (t.persistent) out.push_back({t.name, &t, true, named(t.name)});
    }
    for (const ModuleChild& child : module.children) {
      const std::vector<Relative>& inner = below(*child.module);
      for (std::int64_t k = 0; k < child.count; ++k) {
        const std::string prefix = child.name_at(k) + ".";
        for (Relative r : inner) {
          r.memory.insert(0, prefix);
          prefix_leaves(r.form, prefix);
          out.push_back(std::move(r));
        }
      }
    }
    if (!module.disk.empty()) {
      for (Relative& r : out) translate_leaves(r.form, module, legacy_);
    }
    return memo_.emplace(&module, std::move(out)).first->second;
  }

 private:
  bool legacy_;
  std::unordered_map<const ModuleTemplate*, std::vector<Relative>> memo_;
};

bool same(const DiskForm& a, const DiskForm& b) {
  if (a.kind != b.kind || a.name != b.name || a.axis != b.axis || a.index != b.index || a.count != b.count || a.forms.size() != b.forms.size()) return false;
  for (std::size_t i = 0; i < a.forms.size(); ++i) {
    if (!same(a.forms[i], b.forms[i])) return false;
  }
  return true;
}

}  // namespace

std::vector<TensorLayout> tensor_layouts(const MetaGraph& graph) {
  Translator plain(false);
  Translator legacy(true);
  const std::vector<Relative>& usual = plain.below(*graph.root);
  const std::vector<Relative>& old = legacy.below(*graph.root);
  std::vector<TensorLayout> out;
  out.reserve(usual.size());
  for (std::size_t i = 0; i < usual.size(); ++i) {
    TensorLayout layout{usual[i].memory, usual[i].tensor, usual[i].is_buffer, {}};
    for (const DiskForm& form : {usual[i].form, old[i].form, named(usual[i].memory)}) {
      bool fresh = form.kind != DiskForm::Kind::absent;
      for (const DiskForm& before : layout.forms) fresh = fresh && !same(before, form);
      if (fresh) layout.forms.push_back(form);
    }
    out.push_back(std::move(layout));
  }
  return out;
}

}  // namespace bigmodel
