// SPDX-License-Identifier: Apache-2.0
// KernelOps' attention, mixtures of experts, convolutions and scans for the emulator.
#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/attention_kernels.cuh"
#include "bigmodel/ops/cuda/moe_kernels.cuh"
#include "bigmodel/ops/cuda/recurrent_kernels.cuh"

namespace bigmodel::ops {

using test::EmulatorLauncher;

template void KernelOps<EmulatorLauncher>::append_to_cache(const float* from, std::int64_t count, const CachePlace& place) const;
template void KernelOps<EmulatorLauncher>::attention(const AttentionInput& in, const CacheView& view, const AttentionRule& rule, float* out) const;
template void KernelOps<EmulatorLauncher>::route(const float* logits, std::int64_t rows, const RoutingRule& rule, const float* choice_bias, std::int64_t* ids, float* weights) const;
template void KernelOps<EmulatorLauncher>::experts(const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k, const ExpertWeights& experts, float* y, const LinearEnd& end) const;
template void KernelOps<EmulatorLauncher>::causal_conv(const float* x, float* tail, std::int64_t batch, std::int64_t length, const ConvWeights& weights, float* y) const;
template void KernelOps<EmulatorLauncher>::selective_scan(const SelectiveScan& scan, float* y) const;
template void KernelOps<EmulatorLauncher>::selective_scan2(const SelectiveScan2& scan, float* y) const;

}  // namespace bigmodel::ops
