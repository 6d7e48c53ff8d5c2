// SPDX-License-Identifier: Apache-2.0
// KernelOps' norms for CUDA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/norm_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::norm(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) const;
template void KernelOps<CudaLauncher>::add_norm(NormKind kind, const float* x, const float* delta, float scale, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* sum, float* y) const;

}  // namespace bigmodel::ops
