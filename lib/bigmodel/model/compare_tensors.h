// SPDX-License-Identifier: Apache-2.0
// Does a checkpoint hold what the description says? Names and shapes of its headers against the graph's on-disk tensors.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bigmodel/core/tensor_info.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

struct TensorComparison {
  std::size_t equal = 0;
  std::vector<std::string> missing;     ///< names that the graph expects
  std::vector<std::string> unexpected;  ///< names that only the checkpoint has
  std::vector<std::string> reshaped;    ///< "name: expected [2, 3], got [3, 2]"

  bool agrees() const { return missing.empty() && unexpected.empty() && reshaped.empty(); }
};

/// Names may be those of files or those of memory; a common first component ("bert.", "model.") may be there or not; of tied
/// tensors one name is enough and further copies are welcome; buffers that are recomputed and LayerNorm's old gamma and beta are
/// accepted. The graph must have been built with its disk rules.
TensorComparison compare_tensors(const MetaGraph& graph, std::span<const TensorInfo> tensors);

}  // namespace bigmodel
