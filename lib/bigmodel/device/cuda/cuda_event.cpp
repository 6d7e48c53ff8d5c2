// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_event.h"

#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {

CudaEvent::CudaEvent(std::string object, cudaStream_t stream, bool sleep) : object_(std::move(object)) {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | (sleep ? cudaEventBlockingSync : 0U)), object_, "make an event");
  if (const cudaError_t status = cudaEventRecord(event_, stream); status != cudaSuccess) {
    cudaEventDestroy(event_);
    throw_cuda_error(status, object_, "record an event");
  }
}

CudaEvent::~CudaEvent() { cudaEventDestroy(event_); }

bool CudaEvent::is_done() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) {
    // Not an error, but it would be found as the thread's last one.
    static_cast<void>(cudaGetLastError());
    return false;
  }
  check_cuda(status, object_, "ask for an event");
  return true;
}

void CudaEvent::wait() const { check_cuda(cudaEventSynchronize(event_), object_, "wait for an event"); }

}  // namespace bigmodel
