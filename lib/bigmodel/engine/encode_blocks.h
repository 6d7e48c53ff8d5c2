// SPDX-License-Identifier: Apache-2.0
// Floating-point values into the blocks that weights are quantised to.
#pragma once

#include <cstddef>
#include <span>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

/// `dtype` q8_0 or q4_0; as many values as fill whole blocks, and byte_count(dtype, values.size()) bytes. Rounds as ggml's reference
/// quantisers do (quantize_row_q8_0_ref, quantize_row_q4_0_ref), but by the factor as it is stored. A block with NaN or infinite values becomes NaN.
void encode_blocks(DType dtype, std::span<const float> values, std::span<std::byte> out);

}  // namespace bigmodel
