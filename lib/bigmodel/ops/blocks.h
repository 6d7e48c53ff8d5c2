// SPDX-License-Identifier: Apache-2.0
// Weights in blocks as they lie in memory (q8_0, q4_0): a float16 factor, then 32 integers. A weight is factor * integer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {

/// Elements of a block, which is a piece of one row.
inline constexpr std::int64_t kBlock = 32;

/// Layout of ggml's block_q8_0: the factor, 32 signed bytes.
struct Q8Block {
  static constexpr std::int64_t kBytes = 2 + kBlock;
  static int integer(const std::byte* block, std::int64_t i) { return static_cast<std::int8_t>(block[2 + i]); }
};

/// Layout of ggml's block_q4_0: the factor, 16 bytes that hold elements i (low half) and i + 16 (high half) as 0 .. 15, less 8.
struct Q4Block {
  static constexpr std::int64_t kBytes = 2 + kBlock / 2;
  static int integer(const std::byte* block, std::int64_t i) {
    const auto pair = static_cast<unsigned>(block[2 + i % 16]);
    return static_cast<int>(i < 16 ? pair & 15U : pair >> 4U) - 8;
  }
};

inline float factor_of(const std::byte* block) { return Float16::load(block); }

/// Calls f with Q8Block or Q4Block. `dtype` is one of the two.
template <typename F>
decltype(auto) with_block(DType dtype, F&& f) {
  if (dtype == DType::q8_0) return f(Q8Block{});
  return f(Q4Block{});
}

}  // namespace bigmodel::ops
