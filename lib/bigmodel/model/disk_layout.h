// SPDX-License-Identifier: Apache-2.0
// For every tensor of memory: of which tensors of a checkpoint file it is made. The way back of model/disk_names.h, for readers.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

struct TensorLayout {
  std::string name;                 ///< full, in memory
  const TensorTemplate* tensor = nullptr;
  bool is_buffer = false;
  /// How it may lie in files, most usual first: by the rules, by the rules with the legacy ones, under its own name. Leaf names are full.
  std::vector<DiskForm> forms;
};

/// Parameters and persistent buffers in listing order; tied names each by themselves. The graph must have been built with its disk rules,
/// and must outlive the result.
std::vector<TensorLayout> tensor_layouts(const MetaGraph& graph);

/// The most usual form of a tensor's layout in short, for those who only count.
struct LayoutSummary {
  std::int64_t file_tensors = 0;    ///< how many it is made of
  std::string first;                ///< full name of the first of them
  bool transposed = false;          ///< some lie transposed
};

/// By name in memory; otherwise as tensor_layouts. Takes time by tensors of memory, not of files: a mixture's stacked experts count once
/// for all layers that are built alike.
std::unordered_map<std::string, LayoutSummary> layout_summaries(const MetaGraph& graph);

}  // namespace bigmodel
