// SPDX-License-Identifier: Apache-2.0
// Keeps one copy of every distinct module template, so that equal layers share memory and compare by address.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

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

}  // namespace bigmodel
