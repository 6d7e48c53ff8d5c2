// SPDX-License-Identifier: Apache-2.0
// Keeps one copy of every distinct module template, so that equal layers share memory and compare by address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

class TemplatePool {
 public:
  static constexpr std::size_t kMostTemplates = 100'000;

  /// The pool's equal template, or this one now in the pool. Throws UnsupportedError beyond the limit.
  std::shared_ptr<const ModuleTemplate> intern(ModuleTemplate&& module);

 private:
  std::unordered_multimap<std::size_t, std::shared_ptr<const ModuleTemplate>> pool_;
};

/// Appends `count` children of one module, the first of them called `name`. Where they continue the run before them (the same module,
/// numbered next) they join it.
void append_children(std::vector<ModuleChild>& children, std::string name, std::int64_t count, std::shared_ptr<const ModuleTemplate> module);

/// Which of a run's children (from 0) a component of a path names, if one.
std::optional<std::int64_t> position_in_run(const ModuleChild& run, std::string_view component);

}  // namespace bigmodel
