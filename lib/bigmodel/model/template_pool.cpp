// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/template_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"

namespace bigmodel {
namespace {

class Hash {
 public:
  void add(std::size_t v) { value_ ^= v + 0x9e3779b97f4a7c15ULL + (value_ << 6) + (value_ >> 2); }
  void add(std::string_view v) { add(std::hash<std::string_view>{}(v)); }
  std::size_t value() const { return value_; }

 private:
  std::size_t value_ = 0;
};

std::size_t hash_of(const ModuleTemplate& m) {
  Hash h;
  h.add(m.class_name);
  h.add(m.place.line);
  for (const auto* tensors : {&m.parameters, &m.buffers}) {
    h.add(tensors->size());
    for (const TensorTemplate& t : *tensors) {
      h.add(t.name);
      for (const std::int64_t d : t.shape) h.add(static_cast<std::size_t>(d));
    }
  }
  for (const ModuleChild& c : m.children) {
    h.add(c.name);
    h.add(static_cast<std::size_t>(c.count));
    h.add(std::hash<const void*>{}(c.module.get()));
  }
  return h.value();
}

bool same(const TensorTemplate& a, const TensorTemplate& b) {
  return a.name == b.name && a.shape == b.shape && a.dtype == b.dtype && a.keep_float32 == b.keep_float32 &&
         a.persistent == b.persistent && a.place == b.place;
}

bool same(const DiskForm& a, const DiskForm& b) {
  return a.kind == b.kind && a.name == b.name && a.axis == b.axis && a.index == b.index && a.count == b.count &&
         std::ranges::equal(a.forms, b.forms, [](const DiskForm& x, const DiskForm& y) { return same(x, y); });
}

bool same(const std::optional<Block>& a, const std::optional<Block>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->kind == b->kind && a->error == b->error && a->properties == b->properties;
}

bool same(const ModuleTemplate& a, const ModuleTemplate& b) {
  const auto tensors = [](const std::vector<TensorTemplate>& x, const std::vector<TensorTemplate>& y) {
    return std::ranges::equal(x, y, [](const TensorTemplate& s, const TensorTemplate& t) { return same(s, t); });
  };
  const auto child = [](const ModuleChild& x, const ModuleChild& y) {
    return x.name == y.name && x.first_index == y.first_index && x.count == y.count && x.module == y.module;
  };
  const auto rule = [](const DiskRule& x, const DiskRule& y) {
    return x.path == y.path && x.legacy == y.legacy && same(x.form, y.form);
  };
  return a.class_name == b.class_name && a.layer_kind == b.layer_kind && a.stored_dtype == b.stored_dtype && a.place == b.place &&
         tensors(a.parameters, b.parameters) && tensors(a.buffers, b.buffers) && std::ranges::equal(a.children, b.children, child) &&
         std::ranges::equal(a.disk, b.disk, rule) && same(a.block, b.block);
}

}  // namespace

std::shared_ptr<const ModuleTemplate> TemplatePool::intern(ModuleTemplate&& module) {
  const std::size_t hash = hash_of(module);
  const auto [begin, end] = pool_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (same(*it->second, module)) return it->second;
  }
  if (pool_.size() >= kMostTemplates) {
    throw UnsupportedError(fmt::format("the description builds more than {} different modules", kMostTemplates));
  }
  return pool_.emplace(hash, std::make_shared<const ModuleTemplate>(std::move(module)))->second;
}

void append_children(std::vector<ModuleChild>& children, std::string name, std::int64_t count, std::shared_ptr<const ModuleTemplate> module) {
  const std::optional<std::int64_t> number = parse_list_index(name);
  if (number && !children.empty() && children.back().module == module) {
    ModuleChild& before = children.back();
    const std::optional<std::int64_t> first = before.count > 1 ? before.first_index : parse_list_index(before.name);
    if (first && *first + before.count == *number) {
      before.first_index = *first;
      before.count += count;
      return;
    }
  }
  children.push_back({std::move(name), number.value_or(0), count, std::move(module)});
}

std::optional<std::int64_t> position_in_run(const ModuleChild& run, std::string_view component) {
  if (run.count == 1) return component == run.name ? std::optional<std::int64_t>(0) : std::nullopt;
  const std::optional<std::int64_t> index = parse_list_index(component);
  if (!index || *index < run.first_index || *index - run.first_index >= run.count) return std::nullopt;
  return *index - run.first_index;
}

}  // namespace bigmodel
