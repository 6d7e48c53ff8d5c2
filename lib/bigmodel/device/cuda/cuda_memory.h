// SPDX-License-Identifier: Apache-2.0
// Memory of a card and RAM that it reads by itself, as the CUDA runtime gives it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bigmodel/device/memory_pool.h"

namespace bigmodel {

/// Calls that allocate while the thread records a stream: they do not belong to the recording.
class OutsideRecording {
 public:
  OutsideRecording() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  ~OutsideRecording() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  OutsideRecording(const OutsideRecording&) = delete;
  OutsideRecording& operator=(const OutsideRecording&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

class CudaRawMemory final : public RawMemory {
 public:
  explicit CudaRawMemory(int ordinal);

  std::byte* allocate(std::uint64_t size_bytes) override;
  void free(std::byte* block) noexcept override;
  std::uint64_t free_bytes() noexcept override;

 private:
  int ordinal_;
  std::string name_;
};

/// For every card. The device that is current makes the pages known. Throws CapacityError, DeviceError.
std::shared_ptr<std::byte[]> cuda_pinned_memory(std::uint64_t size_bytes, const std::string& device_name);

}  // namespace bigmodel
