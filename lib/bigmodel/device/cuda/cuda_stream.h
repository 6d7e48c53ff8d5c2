// SPDX-License-Identifier: Apache-2.0
// A CUDA stream that ends with its object.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>
#include <utility>

#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {

/// Of the device that was current when it was made; does not wait for the default stream. Move-only.
class CudaStream {
 public:
  /// Throws DeviceError naming `object`.
  explicit CudaStream(std::string_view object) { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), object, "make a stream"); }
  CudaStream(CudaStream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  CudaStream& operator=(CudaStream&&) = delete;
  ~CudaStream() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  cudaStream_t get() const noexcept { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace bigmodel
