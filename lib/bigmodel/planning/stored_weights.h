// SPDX-License-Identifier: Apache-2.0
// What a quantised model's weights take as its checkpoint stores them: packed elements, scales and zeros of the modules that the config
// quantises, the rest in the config's dtype.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/model/quantization_config.h"

namespace bigmodel {

struct StoredWeights {
  struct Part {
    std::string form;            ///< "int4, groups of 128", "bfloat16"
    std::int64_t parameters = 0; ///< elements before packing
    std::int64_t bytes = 0;
  };
  std::string method;
  std::vector<Part> parts;       ///< packed ones first, each form once
  std::int64_t parameters = 0;   ///< logical: tied tensors once, persistent buffers included, nothing packed
  std::int64_t bytes = 0;
  std::int64_t elements = 0;     ///< as headers list them, packed ones by the integers that hold them: what listings call parameters
  std::vector<std::string> unknown;   ///< what could not be told; bytes are then those before quantisation
  std::vector<std::string> warnings;  ///< contradictions in the config
};

/// What is packed: planning/packed_forms.h; the graph as it says. Unquantised tensors count in `plain`, else graph.stored_dtype, else
/// bfloat16. Throws FormatError where a size does not fit 64 bits.
StoredWeights price_stored_weights(const MetaGraph& graph, const QuantizationConfig& quantization, std::optional<DType> plain = {});

}  // namespace bigmodel
