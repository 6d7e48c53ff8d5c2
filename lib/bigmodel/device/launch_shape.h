// SPDX-License-Identifier: Apache-2.0
// How many threads a kernel is run with.
#pragma once

#include <cstddef>

namespace bigmodel {

/// Of one launch. Threads of a block lie along x alone.
struct LaunchShape {
  unsigned grid_x = 1, grid_y = 1, grid_z = 1;
  unsigned threads = 32;
  std::size_t shared_bytes = 0;   ///< dynamic
};

}  // namespace bigmodel
