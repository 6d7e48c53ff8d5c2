// SPDX-License-Identifier: Apache-2.0
// Element types: every type that a checkpoint or an estimate can name, with its size and its spellings.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bigmodel {

enum class DType : std::uint8_t {
  boolean,
  uint8, uint16, uint32, uint64,
  int8, int16, int32, int64,
  float16, bfloat16, float32, float64,
  complex32, complex64, complex128,
  float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu,
  float4_e2m1fn_x2,   ///< torch's packed pair, 1 byte
  float4, float6_e2m3, float6_e3m2,  ///< sub-byte elements of safetensors (F4, F6_E2M3, F6_E3M2)
  int2, int4, uint4,  ///< estimates only: accelerate's custom dtypes and packed integers
  /// In memory only, for weights quantised while they are loaded (`run --quantize`): 32 neighbours of a row as integers behind one float16
  /// factor, as ggml lays out its types of these names (ops/blocks.h). No file, option or listing knows them.
  q8_0, q4_0,
};

/// Size of one element in bits (bool is stored in 8). Of q8_0 and q4_0 without the factor.
int bit_size(DType dtype) noexcept;

/// Elements that share a factor; 1 for dtypes without one.
int block_size(DType dtype) noexcept;

/// Bytes of `count` elements, rounded up to a whole byte (a whole block). Throws FormatError on overflow.
std::int64_t byte_count(DType dtype, std::int64_t count);

/// PyTorch's name without "torch.": "float32", "bool", "float8_e4m3fn".
std::string_view name(DType dtype) noexcept;

/// safetensors' code: "F32", "BOOL"; empty where the format has none.
std::string_view safetensors_code(DType dtype) noexcept;

/// Of all_dtypes(): from PyTorch's name, with or without "torch.", and the usual short spellings (fp16, bf16, half, float, ...).
std::optional<DType> find_dtype(std::string_view name) noexcept;
std::optional<DType> find_safetensors_dtype(std::string_view code) noexcept;

/// IEEE and truncated floats of any width (not complex).
bool is_floating_point(DType dtype) noexcept;
bool is_complex(DType dtype) noexcept;

/// All values but the blocks, in declaration order.
std::span<const DType> all_dtypes() noexcept;

}  // namespace bigmodel
