// SPDX-License-Identifier: Apache-2.0
// A meta graph from the names and shapes of a checkpoint's tensors, for model types that no description covers.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bigmodel/core/tensor_info.h"
#include "bigmodel/model/config.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// Dotted names become modules. What names cannot tell is assumed, and MetaGraph::assumptions says so:
/// - modules stand in the order of the file; children that are all numbered in the order of their numbers;
/// - whole and boolean tensors and BatchNorm's running statistics are buffers, everything else is a parameter;
/// - floating-point tensors follow the model's dtype, packed and whole ones keep theirs;
/// - an outermost numbered child (layers.0) is a block that is not split.
/// Throws FormatError: no tensor, an empty part in a name, a name given twice, a name that is both tensor and module, more than
/// 64 levels or 2 M tensors.
/// `tied`: groups of names that are one tensor, where the file tells (PyTorch's do), each in the file's order.
MetaGraph graph_from_checkpoint(const Config& config, std::span<const TensorInfo> tensors,
                                std::span<const std::vector<std::string>> tied = {});

}  // namespace bigmodel
