// SPDX-License-Identifier: Apache-2.0
// Where offloaded weights sleep: a map from names to tensors that a hook asks whenever it wants one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bigmodel/engine/stored_tensor.h"

namespace bigmodel {

class Module;

/// Names and tensors, in order.
using StateDict = std::vector<std::pair<std::string, StoredTensor>>;

/// Parameters and persistent buffers in PyTorch's order: a module's own parameters, its own buffers, then its children. Tied names are
/// repeated. The tensors share the model's memory.
StateDict state_dict(const Module& module);

/// Those of some modules ("" is none of them, as in accelerate): names that are one of `names` or lie below it.
StateDict extract_submodules_state_dict(const StateDict& all, const std::vector<std::string>& names);

/// Called from the thread that runs the model.
class WeightsMap {
 public:
  virtual ~WeightsMap() = default;
  /// Nothing where the name is not in it. May read a file: throws IoError, FormatError.
  virtual std::optional<StoredTensor> find(const std::string& name) const = 0;
  /// Throws NotFoundError.
  StoredTensor at(const std::string& name) const;
};

/// Tensors in memory.
class StateDictWeights : public WeightsMap {
 public:
  explicit StateDictWeights(const StateDict& tensors) : tensors_(tensors.begin(), tensors.end()) {}
  std::optional<StoredTensor> find(const std::string& name) const override;

 private:
  std::unordered_map<std::string, StoredTensor> tensors_;
};

/// Another map below a prefix ("encoder.layer.0."): accelerate's PrefixedDataset.
class PrefixedWeights : public WeightsMap {
 public:
  PrefixedWeights(std::shared_ptr<const WeightsMap> all, std::string prefix) : all_(std::move(all)), prefix_(std::move(prefix)) {}
  std::optional<StoredTensor> find(const std::string& name) const override { return all_->find(prefix_ + name); }

 private:
  std::shared_ptr<const WeightsMap> all_;
  std::string prefix_;
};

}  // namespace bigmodel
