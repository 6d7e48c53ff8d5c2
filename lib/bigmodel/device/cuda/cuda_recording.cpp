// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_recording.h"

#include <fmt/format.h>

#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {

CudaRecordedWork::CudaRecordedWork(int ordinal, cudaStream_t stream, cudaGraph_t graph, CudaRecordingMemory memory)
    : ordinal_(ordinal), name_(fmt::format("cuda:{}", ordinal)), stream_(stream), memory_(std::move(memory)) {
  const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(status, name_, "make recorded work ready");
}

CudaRecordedWork::~CudaRecordedWork() {
  // Launches that are still under way end first: CUDA keeps the graph until then, and the pool's next user comes behind them in the lane.
  // Pinned RAM has no such order.
  if (!memory_.pinned.empty()) cudaStreamSynchronize(stream_);
  if (cudaGraphExecDestroy(exec_) != cudaSuccess) static_cast<void>(cudaGetLastError());
}

void CudaRecordedWork::launch() const {
  check_cuda(cudaSetDevice(ordinal_), name_, "use the card");
  check_cuda(cudaGraphLaunch(exec_, stream_), name_, "launch recorded work");
}

}  // namespace bigmodel
