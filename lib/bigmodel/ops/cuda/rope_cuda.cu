// SPDX-License-Identifier: Apache-2.0
// KernelOps' rotary embedding for CUDA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/rope_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles& angles) const;

}  // namespace bigmodel::ops
