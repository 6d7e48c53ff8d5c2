// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding of heads, by a table of inverse frequencies.
#pragma once

#include <cstdint>
#include <span>

namespace bigmodel::ops {

enum class RopePairing : std::uint8_t {
  half,         ///< element i turns with element i + n / 2 (Llama, NeoX)
  interleaved,  ///< elements 2i and 2i + 1 turn together (GPT-J, Cohere, GLM)
};

/// Turns the first 2 * inv_freq.size() elements of every head: by the angle position * inv_freq[i], then times `gain` (the
/// attention factor of yarn and longrope). x [rows, heads, head_dim] in place; positions [rows].
void rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, std::span<const std::int64_t> positions,
          std::span<const float> inv_freq, float gain, RopePairing pairing);

}  // namespace bigmodel::ops
