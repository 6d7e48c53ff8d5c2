// SPDX-License-Identifier: Apache-2.0
// A place in a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "bigmodel/device/accelerator.h"

namespace bigmodel {

class CudaEvent final : public DeviceEvent {
 public:
  /// Recorded at once, in a stream of the device that is current. `object` is the device's name, for errors. With `sleep` a thread that waits
  /// gives its core away; else it asks again and again, which is sooner. Throws DeviceError.
  CudaEvent(std::string object, cudaStream_t stream, bool sleep);
  ~CudaEvent() override;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  bool is_done() const override;
  void wait() const override;
  cudaEvent_t get() const noexcept { return event_; }

 private:
  std::string object_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace bigmodel
