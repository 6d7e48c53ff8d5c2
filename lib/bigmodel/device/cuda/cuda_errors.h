// SPDX-License-Identifier: Apache-2.0
// From a status of the CUDA runtime to an error that says what to do.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <string_view>

#include "bigmodel/device/cuda/cuda_problems.h"

namespace bigmodel {

constexpr CudaProblem cuda_problem(cudaError_t status) {
  switch (status) {
    case cudaErrorStubLibrary:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice: return CudaProblem::no_driver;
    case cudaErrorInsufficientDriver: return CudaProblem::driver_too_old;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice: return CudaProblem::no_device;
    case cudaErrorMemoryAllocation: return CudaProblem::out_of_memory;
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInvalidPtx:
    case cudaErrorInvalidKernelImage: return CudaProblem::wrong_architecture;
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorAssert:
    case cudaErrorContextIsDestroyed:
    case cudaErrorExternalDevice: return CudaProblem::lost;
    case cudaErrorDevicesUnavailable:
    case cudaErrorSystemNotReady: return CudaProblem::busy;
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureMerge:
    case cudaErrorStreamCaptureUnmatched:
    case cudaErrorStreamCaptureUnjoined:
    case cudaErrorStreamCaptureIsolation:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorCapturedEvent:
    case cudaErrorStreamCaptureWrongThread: return CudaProblem::recording;
    default: return CudaProblem::other;
  }
}

/// What is known of a failed call; the versions and the free memory are asked for where they belong to the message.
CudaFailure cuda_failure(cudaError_t status, std::string_view object, std::string_view action);

/// Clears the thread's last error. `object` is the device's name. Throws as throw_cuda_failure.
[[noreturn]] void throw_cuda_error(cudaError_t status, std::string_view object, std::string_view action, std::uint64_t wanted_bytes = 0);

inline void check_cuda(cudaError_t status, std::string_view object, std::string_view action) {
  if (status != cudaSuccess) throw_cuda_error(status, object, action);
}

}  // namespace bigmodel
