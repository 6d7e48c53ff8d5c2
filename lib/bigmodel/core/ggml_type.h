// SPDX-License-Identifier: Apache-2.0
// The tensor types of GGUF files: how many bytes hold how many weights.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bigmodel {

/// `block_bytes` bytes hold `block_elements` neighbouring weights of a row, scales included.
struct GgmlType {
  std::uint32_t id = 0;           ///< as files store it
  std::string_view name;          ///< "q4_k"
  std::int64_t block_bytes = 0;
  std::int64_t block_elements = 1;
};

/// All that files of today use, by id (source: ggml.h and ggml-common.h, August 2026). Ids 4, 5, 31 to 33 and 36 to 38 were removed.
std::span<const GgmlType> ggml_types();

std::optional<GgmlType> find_ggml_type(std::uint32_t id);
std::optional<GgmlType> find_ggml_type(std::string_view name);

}  // namespace bigmodel
