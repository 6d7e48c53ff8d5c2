// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/widen.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/blocks.h"

namespace bigmodel::ops {

bool is_weight_dtype(DType dtype) noexcept {
  return block_size(dtype) > 1 || dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float16;
}

void throw_not_a_weight_dtype(DType dtype) {
  throw UnsupportedError(fmt::format("kernels: weights of {}, expected float32, bfloat16 or float16", name(dtype)));
}

void widen(const TensorView& tensor, std::int64_t first, std::int64_t count, float* out) {
  BIGMODEL_ASSERT(!tensor.is_meta());
  if (block_size(tensor.dtype) > 1) {
    with_block(tensor.dtype, [&](auto kind) {
      using Block = decltype(kind);
      for (std::int64_t i = first, end = first + count; i < end;) {
        const std::byte* block = tensor.data + i / kBlock * Block::kBytes;
        const float factor = factor_of(block);
        for (const std::int64_t stop = std::min(end, (i / kBlock + 1) * kBlock); i < stop; ++i) *out++ = factor * static_cast<float>(Block::integer(block, i % kBlock));
      }
    });
    return;
  }
  with_element(tensor.dtype, [&](auto element) {
    using E = decltype(element);
    const std::byte* from = tensor.data + first * E::kBytes;
    for (std::int64_t i = 0; i < count; ++i) out[i] = E::load(from + i * E::kBytes);
  });
}

}  // namespace bigmodel::ops
