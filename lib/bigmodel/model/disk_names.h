// SPDX-License-Identifier: Apache-2.0
// The tensors of a checkpoint file: the meta graph's names and shapes as its description says they lie on disk.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// One tensor of the file and the tensor of memory that it (or a part of it) belongs to.
struct DiskTensor {
  std::string name;
  Shape shape;
  DType dtype;
  std::string memory_name;
};

/// What save_pretrained of the reference writes: parameters (a tied one once) and persistent buffers, renamed and reshaped by the
/// rules; inner modules translate first, then their parents. In listing order of memory, the pieces of one in the order of the form.
/// Throws FormatError where a rule does not fit a shape.
std::vector<DiskTensor> disk_tensors(const MetaGraph& graph, DType model_dtype);

}  // namespace bigmodel
