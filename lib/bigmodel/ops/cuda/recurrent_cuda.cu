// SPDX-License-Identifier: Apache-2.0
// Causal convolutions and scans for NVIDIA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/recurrent_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::causal_conv(const float*, float*, std::int64_t, std::int64_t, const ConvWeights&, float*) const;
template void KernelOps<CudaLauncher>::selective_scan(const SelectiveScan&, float*) const;
template void KernelOps<CudaLauncher>::selective_scan2(const SelectiveScan2&, float*) const;

}  // namespace bigmodel::ops
