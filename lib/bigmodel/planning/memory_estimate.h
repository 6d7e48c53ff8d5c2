// SPDX-License-Identifier: Apache-2.0
// How much memory a model's weights take in each dtype, and its largest layer: the numbers of accelerate 1.15's
// estimate-memory, to the byte.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

struct DtypeEstimate {
  DType dtype = DType::float32;
  std::int64_t largest_layer_bytes = 0;
  std::int64_t total_bytes = 0;
  std::int64_t training_adam_bytes = 0;  ///< weights, gradients and two moments: 4 x total_bytes
};

struct MemoryEstimate {
  /// The model in float32, buffers included, each tied tensor once; a bool counts an eighth of a byte, as the reference has it,
  /// so these need not be whole.
  double float32_total_bytes = 0;
  double float32_largest_bytes = 0;
  /// Full names of all modules (or tensors of the root) that reach the largest size, in module order.
  std::vector<std::string> largest_modules;
  std::vector<DtypeEstimate> dtypes;  ///< in the order asked for
};

/// A layer is a module without children or of a class that is not split (graph.no_split_modules). Each dtype's row is the float32
/// size scaled by the dtype's width, rounded down to whole bytes: every tensor scales, also those that a quantiser would leave alone.
/// Work and memory go with the templates, not with the expanded modules. Throws FormatError where a size does not fit 64 bits.
MemoryEstimate estimate_memory(const MetaGraph& graph, std::span<const DType> dtypes);

}  // namespace bigmodel
