// SPDX-License-Identifier: Apache-2.0
// Floating-point elements from one dtype to another with PyTorch's rounding (to nearest, ties to even, by way of float32).
#pragma once

#include <cstdint>
#include <span>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

/// float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2 in both directions.
bool can_convert(DType from, DType to) noexcept;

/// What a conversion did to values that the target cannot hold.
struct ConversionCounts {
  std::uint64_t overflowed = 0;  ///< finite values that became infinite, or the largest number where there is no infinity
};

/// `in` and `out` hold the same number of elements, little-endian. can_convert(from, to) must hold.
ConversionCounts convert_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out);

}  // namespace bigmodel
