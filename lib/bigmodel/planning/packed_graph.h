// SPDX-License-Identifier: Apache-2.0
// The graph of a quantised model as its checkpoint keeps it, for those who place tensors instead of adding them up.
#pragma once

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/model/quantization_config.h"

namespace bigmodel {

/// Every packed matrix (planning/packed_forms.h) keeps its name and shape and gets an integer dtype of 2, 4 or 8 bits that its elements
/// fill; scales, zeros and what is left of odd widths follow as one tensor of bytes, `<name>_packing`, in the same module. Sizes of any
/// module are then those of StoredWeights. (Matrices of one bit an element count two.) Modules that are packed alike stay shared.
/// Throws FormatError where a size does not fit 64 bits.
MetaGraph packed_graph(const MetaGraph& graph, const QuantizationConfig& quantization);

}  // namespace bigmodel
