// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {

CudaFailure cuda_failure(cudaError_t status, std::string_view object, std::string_view action) {
  CudaFailure out{.problem = cuda_problem(status), .object = std::string(object), .action = std::string(action),
                  .code = cudaGetErrorName(status), .text = cudaGetErrorString(status)};
  if (out.problem == CudaProblem::driver_too_old) {
    if (cudaDriverGetVersion(&out.driver_version) != cudaSuccess) out.driver_version = 0;
    if (cudaRuntimeGetVersion(&out.runtime_version) != cudaSuccess) out.runtime_version = 0;
    // Without any driver the runtime says the same and shows version 0.
    if (out.driver_version == 0) out.problem = CudaProblem::no_driver;
  }
  if (out.problem == CudaProblem::out_of_memory) {
    std::size_t free_bytes = 0, total_bytes = 0;
    if (cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) out.free_bytes = free_bytes;
  }
  return out;
}

void throw_cuda_error(cudaError_t status, std::string_view object, std::string_view action, std::uint64_t wanted_bytes) {
  CudaFailure failure = cuda_failure(status, object, action);
  failure.wanted_bytes = wanted_bytes;
  static_cast<void>(cudaGetLastError());
  throw_cuda_failure(failure);
}

}  // namespace bigmodel
