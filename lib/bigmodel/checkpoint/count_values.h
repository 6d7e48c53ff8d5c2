// SPDX-License-Identifier: Apache-2.0
// Counts the NaN and the infinite among floating-point elements of every dtype that has them.
#pragma once

#include <cstdint>
#include <span>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

struct ValueCounts {
  std::uint64_t nan_count = 0;
  std::uint64_t inf_count = 0;
};

/// `bytes` are whole elements, little-endian. Integers, booleans and formats without such values (float4, float6) count none; a
/// complex element counts once, as NaN if either part is.
ValueCounts count_values(DType dtype, std::span<const std::byte> bytes);

}  // namespace bigmodel
