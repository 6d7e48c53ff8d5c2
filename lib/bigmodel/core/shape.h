// SPDX-License-Identifier: Apache-2.0
// Tensor shapes: outermost dimension first, row-major, as PyTorch prints them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

using Shape = std::vector<std::int64_t>;

/// Product of the dimensions; 1 for a scalar. Throws FormatError naming `object` on overflow or a negative dimension.
std::int64_t element_count(std::span<const std::int64_t> shape, std::string_view object = "shape");

/// "[4, 8]"; "[]" for a scalar.
std::string to_string(std::span<const std::int64_t> shape);

}  // namespace bigmodel
