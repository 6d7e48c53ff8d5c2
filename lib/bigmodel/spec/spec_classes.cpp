// SPDX-License-Identifier: Apache-2.0
// Classes of a model with late binding: all definitions of a name along the inheritance line, applied as edits.
#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/suggestion.h"
#include "bigmodel/spec/class_edit.h"
#include "bigmodel/spec/spec_library.h"

namespace bigmodel::spec {
namespace {

constexpr int kDeepestClass = 32;

}  // namespace

/// Definitions of a class seen from a model, most derived first, up to and including the first `new` one.
std::vector<const ClassDef*> SpecLibrary::definitions(const Model& model, std::string_view name, int depth) {
  std::vector<const ClassDef*> out;
  if (depth > kDeepestClass) throw SpecError(fmt::format("class '{}' is used in a circle", name), model.place);
  for (const Model* ancestor : resolution_order(model)) {
    for (const ClassDef& def : ancestor->classes) {
      if (def.name != name) continue;
      out.push_back(&def);
      if (def.is_new) return out;
    }
    for (const auto& [used, from] : ancestor->uses) {
      if (used != name) continue;
      const std::vector<const ClassDef*> rest = definitions(get(from, ancestor->place), name, depth + 1);
      out.insert(out.end(), rest.begin(), rest.end());
      return out;
    }
  }
  return out;
}

bool SpecLibrary::has_own_class(const Model& model, std::string_view name) { return !definitions(model, name, 0).empty(); }

const EffectiveClass& SpecLibrary::class_of(const Model& model, std::string_view name, const Place& place) {
  return resolve(model, name, place, 0);
}

const EffectiveClass& SpecLibrary::resolve(const Model& model, std::string_view name, const Place& place, int depth) {
  const auto known = classes_.find(ClassId{&model, name});
  if (known != classes_.end()) return known->second;
  if (depth > kDeepestClass) throw SpecError(fmt::format("class '{}' inherits too deeply", name), place);
  const std::vector<const ClassDef*> defs = definitions(model, name, 0);
  if (defs.empty()) {
    const Model& layers = prelude();
    if (&model != &layers) {
      const auto has_name = [name](const ClassDef& def) { return def.name == name; };
      if (std::ranges::any_of(layers.classes, has_name)) return resolve(layers, name, place, depth);
    }
    std::vector<std::string> names;
    for (const std::string_view n : class_names(model)) names.emplace_back(n);
    for (const ClassDef& def : layers.classes) names.emplace_back(def.name);
    throw SpecError(fmt::format("model '{}' has no class '{}'", model.name, name.substr(0, 80)), place, did_you_mean(name, names));
  }
  EffectiveClass out;
  out.name = defs.front()->name;
  out.place = defs.front()->place;
  out.model = &model;
  for (auto it = defs.rbegin(); it != defs.rend(); ++it) {
    const ClassDef& def = **it;
    if (!def.base.empty()) {
      const Model& world = def.base_model.empty() ? model : get(def.base_model, def.place);
      const EffectiveClass& base = resolve(world, def.base, def.place, depth + 1);
      out.body = base.body;
      out.params = base.params;
      out.entry = base.entry;
    }
    if (def.params) out.params = *def.params;
    out.entry = out.entry || def.entry;
    if (def.alias != nullptr) out.alias = def.alias;
    out.body = edited(arena_, std::move(out.body), def.body);
  }
  return classes_.emplace(ClassId{&model, out.name}, std::move(out)).first->second;
}

std::vector<std::string_view> SpecLibrary::class_names(const Model& model) {
  std::vector<std::string_view> out;
  const auto add = [&out](std::string_view name) {
    if (std::ranges::find(out, name) == out.end()) out.push_back(name);
  };
  for (const Model* ancestor : resolution_order(model)) {
    for (const ClassDef& def : ancestor->classes) add(def.name);
    for (const auto& [used, from] : ancestor->uses) add(used);
  }
  return out;
}

}  // namespace bigmodel::spec
