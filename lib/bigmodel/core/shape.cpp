// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/shape.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {

std::int64_t element_count(std::span<const std::int64_t> shape, std::string_view object) {
  // A zero anywhere makes the product zero however large the others are.
  if (std::ranges::any_of(shape, [](std::int64_t dim) { return dim == 0; })) return 0;
  std::int64_t count = 1;
  for (const std::int64_t dim : shape) {
    if (dim < 0) throw FormatError(fmt::format("{}: negative dimension in shape {}", object, to_string(shape)));
    count = checked_mul(count, dim, object);
  }
  return count;
}

std::string to_string(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace bigmodel
