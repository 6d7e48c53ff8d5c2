// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/weights_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/module.h"

namespace bigmodel {

StateDict state_dict(const Module& module) {
  StateDict out;
  const std::size_t skipped = module.name().empty() ? 0 : module.name().size() + 1;
  module.for_each([&](const Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (t.meta->persistent) out.emplace_back(t.full_name.substr(skipped), t);
    }
  });
  return out;
}

StateDict extract_submodules_state_dict(const StateDict& all, const std::vector<std::string>& names) {
  StateDict out;
  std::unordered_map<std::string, bool> taken;
  for (const std::string& name : names) {
    for (const auto& [key, tensor] : all) {
      if ((key == name || key.starts_with(name + ".")) && taken.emplace(key, true).second) out.emplace_back(key, tensor);
    }
  }
  return out;
}

StoredTensor WeightsMap::at(const std::string& name) const {
  std::optional<StoredTensor> found = find(name);
  if (!found) throw NotFoundError(fmt::format("offloaded weights: no tensor '{}'", name), "the offload folder or state dict is not this model's");
  return *std::move(found);
}

std::optional<StoredTensor> StateDictWeights::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace bigmodel
