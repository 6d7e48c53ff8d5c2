// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {

CudaRawMemory::CudaRawMemory(int ordinal) : ordinal_(ordinal), name_(fmt::format("cuda:{}", ordinal)) {}

std::byte* CudaRawMemory::allocate(std::uint64_t size_bytes) {
  const OutsideRecording outside;
  void* block = nullptr;
  cudaError_t status = cudaSetDevice(ordinal_);
  if (status == cudaSuccess) status = cudaMalloc(&block, static_cast<std::size_t>(size_bytes));
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    return nullptr;
  }
  check_cuda(status, name_, fmt::format("allocate {}", format_binary(size_bytes)));
  return static_cast<std::byte*>(block);
}

void CudaRawMemory::free(std::byte* block) noexcept {
  const OutsideRecording outside;
  // After a failure of the card, or as the process ends, there is nothing left to free.
  if (cudaSetDevice(ordinal_) != cudaSuccess || cudaFree(block) != cudaSuccess) static_cast<void>(cudaGetLastError());
}

std::uint64_t CudaRawMemory::free_bytes() noexcept {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (cudaSetDevice(ordinal_) != cudaSuccess || cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return 0;
  }
  return free_bytes;
}

std::shared_ptr<std::byte[]> cuda_pinned_memory(std::uint64_t size_bytes, const std::string& device_name) {
  const OutsideRecording outside;
  void* block = nullptr;
  const cudaError_t status = cudaHostAlloc(&block, static_cast<std::size_t>(std::max<std::uint64_t>(size_bytes, 1)), cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw CapacityError(fmt::format("{}: cannot pin {} of RAM", device_name, format_binary(size_bytes)), "leave more RAM free, or raise the container's memory limit");
  }
  check_cuda(status, device_name, fmt::format("pin {} of RAM", format_binary(size_bytes)));
  return {static_cast<std::byte*>(block), [](std::byte* b) {
            const OutsideRecording freed_outside;
            if (cudaFreeHost(b) != cudaSuccess) static_cast<void>(cudaGetLastError());
          }};
}

}  // namespace bigmodel
