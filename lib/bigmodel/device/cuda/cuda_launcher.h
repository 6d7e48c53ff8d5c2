// SPDX-License-Identifier: Apache-2.0
// Queues kernels in a card's compute lane: the Launcher of ops/cuda/kernel_ops.h.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

#include "bigmodel/device/cuda/cuda_errors.h"
#include "bigmodel/device/launch_shape.h"

namespace bigmodel {

/// A copyable handle; the accelerator that it was made by outlives it. Kernels are named in .cu files only: elsewhere they have no address.
class CudaLauncher {
 public:
  CudaLauncher(int ordinal, cudaStream_t stream) : ordinal_(ordinal), stream_(stream) {}

  /// Arguments are converted to the kernel's parameters and copied. Nothing is queued for an empty grid.
  /// Throws DeviceError, also for work that was queued earlier.
  template <class... P, class... A>
  void launch(void (*kernel)(P...), const LaunchShape& shape, A&&... arguments) const {
    static_assert(sizeof...(P) == sizeof...(A), "one argument for each parameter of the kernel");
    if (shape.grid_x == 0 || shape.grid_y == 0 || shape.grid_z == 0) return;
    std::tuple<P...> values(static_cast<P>(std::forward<A>(arguments))...);
    std::apply(
        [&](auto&... value) {
          // One more, so that a kernel without parameters has an array too.
          void* pointers[sizeof...(P) + 1] = {static_cast<void*>(&value)..., nullptr};
          queue(reinterpret_cast<const void*>(kernel), shape, pointers);
        },
        values);
  }

  cudaStream_t stream() const noexcept { return stream_; }
  int ordinal() const noexcept { return ordinal_; }

 private:
  void queue(const void* kernel, const LaunchShape& shape, void** arguments) const;

  int ordinal_;
  cudaStream_t stream_;
};

}  // namespace bigmodel
