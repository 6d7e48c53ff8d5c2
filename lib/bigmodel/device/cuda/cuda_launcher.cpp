// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_launcher.h"

#include <fmt/format.h>

namespace bigmodel {
namespace {

/// What a kernel may ask for without further words.
constexpr std::size_t kPlainSharedBytes = 48 * 1024;

}  // namespace

void CudaLauncher::queue(const void* kernel, const LaunchShape& shape, void** arguments) const {
  cudaError_t status = cudaSetDevice(ordinal_);
  if (status == cudaSuccess && shape.shared_bytes > kPlainSharedBytes) {
    status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernel(kernel, dim3(shape.grid_x, shape.grid_y, shape.grid_z), dim3(shape.threads), arguments, shape.shared_bytes, stream_);
  }
  if (status == cudaSuccess) status = cudaGetLastError();
  if (status == cudaSuccess) return;
  throw_cuda_error(status, fmt::format("cuda:{}", ordinal_),
                   fmt::format("launch a kernel of {}x{}x{} blocks of {} threads with {} bytes of shared memory", shape.grid_x, shape.grid_y, shape.grid_z, shape.threads,
                               shape.shared_bytes));
}

}  // namespace bigmodel
