// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts for NVIDIA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/moe_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::route(const float*, std::int64_t, const RoutingRule&, const float*, std::int64_t*, float*) const;
template void KernelOps<CudaLauncher>::experts(const float*, std::int64_t, std::int64_t, const std::int64_t*, const float*, std::int64_t, const ExpertWeights&, float*, const LinearEnd&) const;

}  // namespace bigmodel::ops
