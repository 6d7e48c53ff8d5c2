// SPDX-License-Identifier: Apache-2.0
// cuda_devices.h where there is no CUDA toolkit to build with.
#include <fmt/format.h>

#include "bigmodel/device/cuda/cuda_devices.h"
#include "bigmodel/device/cuda/cuda_problems.h"

namespace bigmodel {

CudaState read_cuda_state() {
  CudaAdvice advice = cuda_advice({.problem = CudaProblem::no_backend, .object = "CUDA"});
  return {.built = false, .runtime_version = 0, .driver_version = 0, .cards = {}, .problem = std::move(advice.message), .remedy = std::move(advice.hint)};
}

std::uint64_t free_card_bytes(int) { return 0; }

std::unique_ptr<Accelerator> open_cuda_card(int ordinal, std::optional<std::uint64_t>) {
  throw_cuda_failure({.problem = CudaProblem::no_backend, .object = fmt::format("cuda:{}", ordinal)});
}

}  // namespace bigmodel
