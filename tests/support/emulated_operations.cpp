// SPDX-License-Identifier: Apache-2.0
// KernelOps' matrix products, norms, rotary embedding and element by element operations for the emulator.
#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/elementwise_kernels.cuh"
#include "bigmodel/ops/cuda/linear_kernels.cuh"
#include "bigmodel/ops/cuda/norm_kernels.cuh"
#include "bigmodel/ops/cuda/rope_kernels.cuh"

namespace bigmodel::ops {

using test::EmulatorLauncher;

template void KernelOps<EmulatorLauncher>::linear(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const;
template void KernelOps<EmulatorLauncher>::linear_transposed(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) const;
template void KernelOps<EmulatorLauncher>::linear_group(const float* x, std::int64_t rows, std::span<const LinearPart> parts, const LinearEnd& end) const;
template void KernelOps<EmulatorLauncher>::gated_linear(const float* x, std::int64_t rows, const GatedWeights& weights, Activation act, float* y, const LinearEnd& end) const;
template void KernelOps<EmulatorLauncher>::norm(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) const;
template void KernelOps<EmulatorLauncher>::add_norm(NormKind kind, const float* x, const float* delta, float scale, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* sum, float* y) const;
template void KernelOps<EmulatorLauncher>::activate(Activation act, float* x, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::activate_times(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows, std::int64_t width, float* y, std::int64_t y_stride) const;
template void KernelOps<EmulatorLauncher>::add_scaled(float* a, const float* b, float scale, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::multiply(float* a, const float* b, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::scale(float* x, float factor, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::clamp(float* x, float limit, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::soft_cap(float* x, float cap, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::scale_columns(float* x, std::int64_t rows, std::int64_t width, const TensorView& by) const;
template void KernelOps<EmulatorLauncher>::scale_rows(float* x, std::int64_t rows, std::int64_t width, const float* by) const;
template void KernelOps<EmulatorLauncher>::fill(float* x, float value, std::int64_t count) const;
template void KernelOps<EmulatorLauncher>::copy(const float* from, float* to, const CopyShape& shape) const;
template void KernelOps<EmulatorLauncher>::gather_rows(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) const;
template void KernelOps<EmulatorLauncher>::clear_rows(float* x, const std::uint8_t* valid, std::int64_t rows, std::int64_t width) const;
template void KernelOps<EmulatorLauncher>::embedding(const TensorView& table, const std::int64_t* ids, std::int64_t count, float* y) const;
template void KernelOps<EmulatorLauncher>::widen(const TensorView& from, float* y) const;
template void KernelOps<EmulatorLauncher>::argmax(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) const;
template void KernelOps<EmulatorLauncher>::advance(std::int64_t* counters, std::int64_t count, std::int64_t by) const;
template void KernelOps<EmulatorLauncher>::rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles& angles) const;

}  // namespace bigmodel::ops
