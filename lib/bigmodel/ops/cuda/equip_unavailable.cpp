// SPDX-License-Identifier: Apache-2.0
// equip_cuda where there is no CUDA toolkit to build with.
#include "bigmodel/device/cuda/cuda_problems.h"
#include "bigmodel/ops/cuda/equip_cuda.h"

namespace bigmodel::ops {

void equip_cuda(Accelerator& card) { throw_cuda_failure({.problem = CudaProblem::no_backend, .object = card.name()}); }

}  // namespace bigmodel::ops
