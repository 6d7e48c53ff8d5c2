// SPDX-License-Identifier: Apache-2.0
// The module tree of a graph with sizes, repeated children folded: "layers.0-31 x32".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel::app {

struct TreeNode {
  std::string name;        ///< "layers.0-31"; empty for the root
  std::string path;        ///< full name of the (first) module
  std::string class_name;
  std::int64_t count = 1;  ///< modules that this row stands for
  std::int64_t parameters = 0;   ///< elements below one of them; a tied tensor counts where it comes first
  std::int64_t size_bytes = 0;   ///< parameters and buffers below one of them, likewise
  std::vector<TreeNode> children;
};

/// Throws FormatError where a size does not fit 64 bits.
TreeNode module_tree(const MetaGraph& graph, DType model_dtype);

}  // namespace bigmodel::app
