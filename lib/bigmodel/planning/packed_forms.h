// SPDX-License-Identifier: Apache-2.0
// Which tensors of a graph a quantised checkpoint packs, and in which form: the decision behind every figure "as stored".
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bigmodel/model/disk_layout.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/model/quantization_config.h"

namespace bigmodel {

/// A packed tensor: equal matrices of [out, in], each in `form`.
struct PackedTensor {
  const PackedForm* form = nullptr;  ///< null: the tensor is not packed
  std::int64_t matrices = 0, out = 0, in = 0;

  /// Of all matrices, scales and zeros included. Throws FormatError where it does not fit 64 bits.
  std::int64_t bytes() const;
  /// Numbers that headers list for them: packed ones counted by the integers that hold them. The same error.
  std::int64_t elements() const;
};

/// Matrices are the weights of linear layers and stacked experts ([experts, out, in], or as the disk rules turn them). The graph should be
/// that of the checkpoint's class, built with its disk rules: skip lists name modules as files do. Both must outlive this. Immutable.
class PackedForms {
 public:
  PackedForms(const MetaGraph& graph, const QuantizationConfig& quantization);

  PackedTensor of(const TensorVisit& visit) const;

 private:
  const QuantizationConfig& quantization_;
  std::unordered_map<std::string, LayoutSummary> layouts_;
  std::vector<std::string> heads_;
};

}  // namespace bigmodel
