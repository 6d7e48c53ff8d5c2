// SPDX-License-Identifier: Apache-2.0
// What the tensors of a loaded model take in a dtype: floating tensors in it, others and those that stay float32 in their own.
// (Estimates that must equal accelerate's scale every tensor instead: planning/memory_estimate.)
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

struct LoadedBytes {
  std::int64_t bytes = 0;
  std::string assumption;  ///< empty, or how a dtype narrower than the hardware's was counted
};

/// Immutable; the graph is not kept.
class LoadedSizes {
 public:
  /// Throws FormatError where a count does not fit 64 bits.
  explicit LoadedSizes(const MetaGraph& graph);

  /// Tied tensors once, buffers included. Below 16 bits: matrices of linear layers and experts in `dtype` without scales, everything
  /// else in float16.
  LoadedBytes bytes(DType dtype) const;

 private:
  struct Elements {
    std::int64_t matrices = 0;   ///< weights of linear layers and stacked experts
    std::int64_t floating = 0;   ///< others in the model's dtype
    std::int64_t kept_float32 = 0;
    std::int64_t fixed_bytes = 0;  ///< of a dtype of their own

    void add(const Elements& more, std::int64_t times);
  };
  static Elements of(const ModuleTemplate& module, const TensorTemplate& tensor);

  Elements total_;
};

}  // namespace bigmodel
