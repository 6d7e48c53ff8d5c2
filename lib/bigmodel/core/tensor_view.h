// SPDX-License-Identifier: Apache-2.0
// A tensor's bytes where they lie: element type, shape, and memory that something else owns.
#pragma once

#include <cstddef>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/shape.h"

namespace bigmodel {

/// Row-major, little-endian, at any address (no alignment is promised). data == nullptr: on the meta device, no bytes.
struct TensorView {
  DType dtype = DType::float32;
  Shape shape;
  const std::byte* data = nullptr;

  bool is_meta() const noexcept { return data == nullptr; }
  std::int64_t size(std::size_t dimension) const { return shape[dimension]; }
};

}  // namespace bigmodel
