// SPDX-License-Identifier: Apache-2.0
// Small copies into a card's memory from RAM that may change at once: they go by way of pinned RAM.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/device/cuda/cuda_event.h"

namespace bigmodel {

/// A ring of pinned RAM whose parts are used again when the copies out of them are done. One thread at a time, one stream.
class CudaStaging {
 public:
  static constexpr std::size_t kPartBytes = std::size_t{64} << 10;
  static constexpr std::size_t kParts = 16;

  /// Throws CapacityError, DeviceError.
  CudaStaging(std::string device_name, cudaStream_t stream);

  /// A place with a copy of `from` (kPartBytes at most). Whoever asked queues the copy out of it before the next call. Waits only where the
  /// device is a whole ring behind.
  const std::byte* put(std::span<const std::byte> from);

 private:
  std::string device_name_;
  cudaStream_t stream_;
  std::shared_ptr<std::byte[]> ring_;
  std::array<std::shared_ptr<CudaEvent>, kParts> done_;   ///< behind the last copy out of each part
  std::size_t part_ = 0, used_ = 0;
};

}  // namespace bigmodel
