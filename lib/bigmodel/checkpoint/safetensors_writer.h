// SPDX-License-Identifier: Apache-2.0
// Lays out a safetensors file: the header's text and where each tensor lies behind it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/core/tensor_info.h"

namespace bigmodel {

/// Sorts as the reference writer does: wide dtypes first (its own order of dtypes), then names bytewise. Returns positions.
std::vector<std::uint32_t> safetensors_order(std::span<const TensorInfo> tensors);

/// The header of `tensors` packed in this order: length, JSON as serde_json writes it, spaces. Padded to a multiple of 8, and
/// on until the data begin at `data_phase` modulo `block_bytes` (block_bytes 0: no further). The metadata come first.
/// Throws UnsupportedError for a dtype that the format has not.
std::string safetensors_header_bytes(std::span<const TensorInfo> tensors, std::span<const std::pair<std::string, std::string>> metadata,
                                     std::uint64_t block_bytes = 0, std::uint64_t data_phase = 0);

/// Name, dtype and shape as the format states them: torch's packed float4 pair becomes F4 with the last dimension doubled.
/// Throws UnsupportedError.
TensorInfo safetensors_info(const TensorInfo& tensor);

}  // namespace bigmodel
