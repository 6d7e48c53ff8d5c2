// SPDX-License-Identifier: Apache-2.0
// How convolutions and scans are cut into blocks of threads: pure functions of the sizes, so that a CPU can test them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::ops {

/// Tokens that a thread of a convolution takes, and those for which one launch does the tail as well.
inline constexpr int kConvTokens = 8;
/// Tokens of a scan that lie in shared memory at a time.
inline constexpr int kScanTokens = 16;
/// The most states that a scan keeps in registers.
inline constexpr std::int64_t kMostStates = 256;

/// x: channels, y: pieces of kConvTokens tokens, z: batch.
inline LaunchShape conv_shape(std::int64_t batch, std::int64_t length, std::int64_t channels) {
  LaunchShape out;
  out.grid_x = static_cast<unsigned>((channels + 127) / 128);
  out.grid_y = static_cast<unsigned>((length + kConvTokens - 1) / kConvTokens);
  out.grid_z = static_cast<unsigned>(batch);
  out.threads = 128;
  return out;
}

/// Neighbouring lanes that share the states of one channel, four or eight states each: 16 states, 32, or 256.
constexpr int scan_lanes(std::int64_t states) { return states <= 16 ? 4 : states <= 32 ? 8 : 32; }

/// Mamba 1: x: channels, z: batch.
inline LaunchShape scan_shape(const SelectiveScan& scan) {
  const int channels = 128 / scan_lanes(scan.states);
  LaunchShape out;
  out.grid_x = static_cast<unsigned>((scan.inner + channels - 1) / channels);
  out.grid_z = static_cast<unsigned>(scan.batch);
  out.threads = 128;
  out.shared_bytes = static_cast<std::size_t>(kScanTokens * (2 * scan.states + 3 * channels) * 4);
  return out;
}

/// Mamba 2: eight lanes for each element of a head, 16 elements a block. x: pieces of a head, y: heads, z: batch.
inline LaunchShape scan2_shape(const SelectiveScan2& scan) {
  LaunchShape out;
  out.grid_x = static_cast<unsigned>((scan.head_dim + 15) / 16);
  out.grid_y = static_cast<unsigned>(scan.heads);
  out.grid_z = static_cast<unsigned>(scan.batch);
  out.threads = 128;
  out.shared_bytes = static_cast<std::size_t>(kScanTokens * (2 * scan.states + 18) * 4);
  return out;
}

}  // namespace bigmodel::ops
