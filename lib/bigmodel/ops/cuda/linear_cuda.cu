// SPDX-License-Identifier: Apache-2.0
// KernelOps' matrix products for CUDA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/linear_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::linear(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const;
template void KernelOps<CudaLauncher>::linear_transposed(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) const;
template void KernelOps<CudaLauncher>::linear_group(const float* x, std::int64_t rows, std::span<const LinearPart> parts, const LinearEnd& end) const;
template void KernelOps<CudaLauncher>::gated_linear(const float* x, std::int64_t rows, const GatedWeights& weights, Activation act, float* y, const LinearEnd& end) const;

}  // namespace bigmodel::ops
