// SPDX-License-Identifier: Apache-2.0
// How one element of a KV cache is stored: plain floats, and the block formats of llama.cpp and vLLM.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

/// `block_bytes` bytes hold `block_elements` neighbouring elements of a head (scales included).
struct KvFormat {
  std::string_view name = "float16";
  std::int64_t block_bytes = 2;
  std::int64_t block_elements = 1;
  bool is_ggml = false;  ///< one of GGML's blocks
};

/// float32 float16 bfloat16 fp8 int8 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl nvfp4, and the usual spellings of the plain ones (f16, bf16,
/// fp8_e4m3, ...). Block sizes: ggml-common.h; NVFP4: 16 elements of 4 bits share a byte.
std::optional<KvFormat> find_kv_format(std::string_view name);

/// The plain format of a floating dtype; empty where a cache cannot be kept in it.
std::optional<KvFormat> kv_format(DType dtype);

/// Names of all formats, widest first.
std::span<const KvFormat> kv_formats();

/// Bytes of `count` elements of one row, blocks rounded up. Throws FormatError on overflow.
std::int64_t kv_bytes(const KvFormat& format, std::int64_t count);

}  // namespace bigmodel
