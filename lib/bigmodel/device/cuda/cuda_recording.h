// SPDX-License-Identifier: Apache-2.0
// Recorded work as a CUDA graph.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/device/memory_pool.h"

namespace bigmodel {

/// What a recording keeps as long as it can be launched: the pool's blocks, and RAM that its copies read.
struct CudaRecordingMemory {
  std::shared_ptr<MemoryPool::Arena> arena;
  std::vector<std::shared_ptr<std::byte[]>> pinned;
};

class CudaRecordedWork final : public RecordedWork {
 public:
  /// Takes the graph over, also where it throws (DeviceError, CapacityError).
  CudaRecordedWork(int ordinal, cudaStream_t stream, cudaGraph_t graph, CudaRecordingMemory memory);
  ~CudaRecordedWork() override;
  CudaRecordedWork(const CudaRecordedWork&) = delete;
  CudaRecordedWork& operator=(const CudaRecordedWork&) = delete;

  void launch() const override;

 private:
  int ordinal_;
  std::string name_;
  cudaStream_t stream_;
  cudaGraphExec_t exec_ = nullptr;
  CudaRecordingMemory memory_;
};

}  // namespace bigmodel
