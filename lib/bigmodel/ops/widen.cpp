// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/widen.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"

namespace bigmodel::ops {

bool is_weight_dtype(DType dtype) noexcept {
  return dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float16;
}

void throw_not_a_weight_dtype(DType dtype) {
  throw UnsupportedError(fmt::format("kernels: weights of {}, expected float32, bfloat16 or float16", name(dtype)));
}

void widen(const TensorView& tensor, std::int64_t first, std::int64_t count, float* out) {
  BIGMODEL_ASSERT(!tensor.is_meta());
  with_element(tensor.dtype, [&](auto element) {
    using E = decltype(element);
    const std::byte* from = tensor.data + first * E::kBytes;
    for (std::int64_t i = 0; i < count; ++i) out[i] = E::load(from + i * E::kBytes);
  });
}

}  // namespace bigmodel::ops
