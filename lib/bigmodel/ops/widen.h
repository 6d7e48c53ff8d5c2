// SPDX-License-Identifier: Apache-2.0
// Elements of any stored dtype of weights as float32, exactly.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "bigmodel/core/tensor_view.h"

namespace bigmodel::ops {

/// Element types as they lie in memory; read through load() because addresses need not be aligned.
struct Float32 {
  static constexpr std::int64_t kBytes = 4;
  static float load(const std::byte* at) {
    float v;
    std::memcpy(&v, at, sizeof v);
    return v;
  }
};
struct BFloat16 {
  static constexpr std::int64_t kBytes = 2;
  static float load(const std::byte* at) {
    std::uint16_t v;
    std::memcpy(&v, at, sizeof v);
    return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16);
  }
};
struct Float16 {
  static constexpr std::int64_t kBytes = 2;
  static float load(const std::byte* at) {
    std::uint16_t v;
    std::memcpy(&v, at, sizeof v);
    // A half's fields moved to a float's places are its value times 2^-112; subnormals come out right as well.
    const std::uint32_t sign = static_cast<std::uint32_t>(v & 0x8000u) << 16;
    const std::uint32_t magnitude = static_cast<std::uint32_t>(v & 0x7FFFu);
    if (magnitude >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
    const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
  }
};

/// Whether the kernels take weights of this dtype: float32, bfloat16, float16 and blocks.
bool is_weight_dtype(DType dtype) noexcept;

/// Calls f with Float32, BFloat16 or Float16. Throws UnsupportedError for others.
template <typename F>
decltype(auto) with_element(DType dtype, F&& f);

/// `count` elements from `first` on. The view must have data; rows of blocks are whole blocks. Throws UnsupportedError for what is no weight dtype.
void widen(const TensorView& tensor, std::int64_t first, std::int64_t count, float* out);

[[noreturn]] void throw_not_a_weight_dtype(DType dtype);

template <typename F>
decltype(auto) with_element(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(Float32{});
    case DType::bfloat16: return f(BFloat16{});
    case DType::float16: return f(Float16{});
    default: throw_not_a_weight_dtype(dtype);
  }
}

}  // namespace bigmodel::ops
