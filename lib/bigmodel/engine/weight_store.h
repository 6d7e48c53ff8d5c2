// SPDX-License-Identifier: Apache-2.0
// Which bytes of a checkpoint are which tensors of a model: names, ties, prefixes and dtypes resolved once, before anything is read.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/engine/weight_source.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// Weights (by memory names) that are kept in a smaller dtype than they are run in.
struct StorageCast {
  DType dtype = DType::float32;
  std::unordered_set<std::string> names;
};

/// Sources by memory name. Thread-safe but for quantize(). The checkpoint and the graph must outlive it.
class WeightStore {
 public:
  /// `dtype`: what the model is run in. Weights keep their stored dtype where that is the same, or where float32 is wanted and bf16 or f16
  /// stored: widening is exact, so the kernels do it. Names are looked for as files have them, as memory has them, and without or with a
  /// base model's prefix. Throws FormatError (a tensor of another shape), UnsupportedError (a dtype that is no weight: packed, quantised).
  /// `method` says which tensors of the file are quantised: they are read as the values that they stand for.
  /// `storage`: is rounded to by way of the dtype that they are run in.
  /// `initial`: tensors by memory names and shapes that stand in for those that the checkpoint lacks; null: none. Must outlive it.
  WeightStore(const MetaGraph& graph, const Checkpoint& checkpoint, DType dtype, const QuantizationMethod& method = {}, const Checkpoint* initial = nullptr,
              const StorageCast& storage = {});

  /// From now on these tensors (memory names) are put into blocks of q8_0 or q4_0 when they are read. Names without a source are passed over.
  void quantize(DType blocks, const std::vector<std::string>& names);

  /// By any of the tied names; null where the checkpoint has none of them.
  const WeightSource* find(const std::string& name) const;
  const Checkpoint& checkpoint() const noexcept { return checkpoint_; }
  /// Names of the file that no tensor of the model uses.
  const std::vector<std::string>& unexpected() const noexcept { return unexpected_; }
  /// Names of the model that `initial` stands in for, in its order.
  const std::vector<std::string>& initialised() const noexcept { return initialised_; }

 private:
  const Checkpoint& checkpoint_;
  std::unordered_map<std::string, WeightSource> sources_;       ///< by the first name of the tied group
  std::unordered_map<std::string, std::string> first_names_;    ///< tied name -> first name
  std::vector<std::string> unexpected_;
  std::vector<std::string> initialised_;
};

}  // namespace bigmodel
