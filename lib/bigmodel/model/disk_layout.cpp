// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/disk_layout.h"

#include <array>
#include <memory>
#include <optional>

namespace bigmodel {
namespace {

/// A tensor below some module. Its form is shared by all places where the module that states it stands: what goes before each of its
/// leaf names is kept apart.
struct Relative {
  std::string memory;
  const TensorTemplate* tensor;
  bool is_buffer;
  std::shared_ptr<const DiskForm> form;
  std::string prefix;
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

std::string without_leading_points(std::string name) {
  if (name.starts_with('.')) name.erase(0, name.find_first_not_of('.'));
  return name;
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
      form.name = without_leading_points(rule.form.name + form.name.substr(rule.path.size()));
    } else {
      continue;
    }
    return;
  }
}

DiskForm whole_form(const Relative& r) {
  DiskForm out = *r.form;
  if (!r.prefix.empty()) prefix_leaves(out, r.prefix);
  return out;
}

/// What a module's rules make of every leaf below a prefix ("layers.3."), where that is the same for all: the prefix that takes its
/// place. nullopt where a rule may mean some of them.
std::optional<std::string> translated_prefix(const std::string& prefix, const ModuleTemplate& module, bool legacy) {
  for (const DiskRule& rule : module.disk) {
    if (rule.legacy && !legacy) continue;
    if (rule.path.starts_with(prefix)) return std::nullopt;
    if (!prefix.starts_with(rule.path) || prefix[rule.path.size()] != '.') continue;
    if (rule.form.kind == DiskForm::Kind::absent) return std::nullopt;
    if (rule.form.kind == DiskForm::Kind::name) return without_leading_points(rule.form.name + prefix.substr(rule.path.size()));
  }
  return prefix;
}

class Translator {
 public:
  explicit Translator(bool legacy) : legacy_(legacy) {}

  const std::vector<Relative>& below(const ModuleTemplate& module) {
    if (const auto it = memo_.find(&module); it != memo_.end()) return it->second;
    std::vector<Relative> out;
    for (const TensorTemplate& t : module.parameters) out.push_back({t.name, &t, false, std::make_shared<const DiskForm>(named(t.name)), {}});
    for (const TensorTemplate& t : module.buffers) {
      if (t.persistent) out.push_back({t.name, &t, true, std::make_shared<const DiskForm>(named(t.name)), {}});
    }
    for (const ModuleChild& child : module.children) {
      const std::vector<Relative>& inner = below(*child.module);
      for (std::int64_t k = 0; k < child.count; ++k) {
        const std::string prefix = child.name_at(k) + ".";
        for (const Relative& r : inner) out.push_back({prefix + r.memory, r.tensor, r.is_buffer, r.form, prefix + r.prefix});
      }
    }
    if (!module.disk.empty()) {
      for (Relative& r : out) translate(r, module);
    }
    return memo_.emplace(&module, std::move(out)).first->second;
  }

 private:
  void translate(Relative& r, const ModuleTemplate& module) const {
    if (std::optional<std::string> prefix = translated_prefix(r.prefix, module, legacy_)) {
      r.prefix = *std::move(prefix);
      return;
    }
    DiskForm form = whole_form(r);
    translate_leaves(form, module, legacy_);
    r.form = std::make_shared<const DiskForm>(std::move(form));
    r.prefix.clear();
  }

  bool legacy_;
  std::unordered_map<const ModuleTemplate*, std::vector<Relative>> memo_;
};

bool same(const DiskForm& a, const DiskForm& b) {
  if (a.kind != b.kind || a.name != b.name || a.axis != b.axis || a.index != b.index || a.count != b.count || a.sizes != b.sizes || a.forms.size() != b.forms.size()) return false;
  for (std::size_t i = 0; i < a.forms.size(); ++i) {
    if (!same(a.forms[i], b.forms[i])) return false;
  }
  return true;
}

void count_leaves(const DiskForm& form, LayoutSummary& out) {
  if (form.kind == DiskForm::Kind::name && out.file_tensors++ == 0) out.first = form.name;
  out.transposed = out.transposed || form.kind == DiskForm::Kind::transpose;
  for (const DiskForm& f : form.forms) count_leaves(f, out);
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
    for (DiskForm& form : std::array{whole_form(usual[i]), whole_form(old[i]), named(usual[i].memory)}) {
      bool fresh = form.kind != DiskForm::Kind::absent;
      for (const DiskForm& before : layout.forms) fresh = fresh && !same(before, form);
      if (fresh) layout.forms.push_back(std::move(form));
    }
    out.push_back(std::move(layout));
  }
  return out;
}

std::unordered_map<std::string, LayoutSummary> layout_summaries(const MetaGraph& graph) {
  Translator plain(false);
  Translator legacy(true);
  const std::vector<Relative>& usual = plain.below(*graph.root);
  const std::vector<Relative>& old = legacy.below(*graph.root);
  std::unordered_map<const DiskForm*, LayoutSummary> by_form;
  std::unordered_map<std::string, LayoutSummary> out;
  out.reserve(usual.size());
  for (std::size_t i = 0; i < usual.size(); ++i) {
    const Relative& r = usual[i].form->kind != DiskForm::Kind::absent ? usual[i] : old[i];
    LayoutSummary& summary = out[usual[i].memory];
    if (r.form->kind == DiskForm::Kind::absent) {
      summary = {1, usual[i].memory, false};
      continue;
    }
    const auto [it, fresh] = by_form.try_emplace(r.form.get());
    if (fresh) count_leaves(*r.form, it->second);
    summary = it->second;
    if (summary.file_tensors > 0) summary.first.insert(0, r.prefix);
  }
  return out;
}

}  // namespace bigmodel
