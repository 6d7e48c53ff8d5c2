// SPDX-License-Identifier: Apache-2.0
// Stored elements as doubles, whatever the dtype: IEEE and truncated floats down to four bits, integers, booleans.
#pragma once

#include <cstddef>
#include <span>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

/// Whether an element is one real number: everything but complex dtypes and float4_e2m1fn_x2 (two numbers in one element).
bool is_real_number(DType dtype) noexcept;

/// How many elements `bytes` bytes hold.
std::size_t elements_in(DType dtype, std::size_t bytes) noexcept;

/// `in` is little-endian and holds out.size() whole elements; sub-byte elements fill bytes from their low bits. Integers above 2^53 are
/// rounded, everything else is exact; NaN keeps its sign. is_real_number(dtype) must hold.
void element_values(DType dtype, std::span<const std::byte> in, std::span<double> out);

}  // namespace bigmodel
