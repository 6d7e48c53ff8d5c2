// SPDX-License-Identifier: Apache-2.0
// Attention for NVIDIA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/attention_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::append_to_cache(const float*, std::int64_t, const CachePlace&) const;
template void KernelOps<CudaLauncher>::attention(const AttentionInput&, const CacheView&, const AttentionRule&, float*) const;

}  // namespace bigmodel::ops
