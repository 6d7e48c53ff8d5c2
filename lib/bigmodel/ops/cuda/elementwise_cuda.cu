// SPDX-License-Identifier: Apache-2.0
// KernelOps' element by element operations and moves for CUDA cards.
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/ops/cuda/elementwise_kernels.cuh"

namespace bigmodel::ops {

template void KernelOps<CudaLauncher>::activate(Activation act, float* x, std::int64_t count) const;
template void KernelOps<CudaLauncher>::activate_times(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows, std::int64_t width, float* y, std::int64_t y_stride) const;
template void KernelOps<CudaLauncher>::add_scaled(float* a, const float* b, float scale, std::int64_t count) const;
template void KernelOps<CudaLauncher>::multiply(float* a, const float* b, std::int64_t count) const;
template void KernelOps<CudaLauncher>::scale(float* x, float factor, std::int64_t count) const;
template void KernelOps<CudaLauncher>::clamp(float* x, float limit, std::int64_t count) const;
template void KernelOps<CudaLauncher>::soft_cap(float* x, float cap, std::int64_t count) const;
template void KernelOps<CudaLauncher>::scale_columns(float* x, std::int64_t rows, std::int64_t width, const TensorView& by) const;
template void KernelOps<CudaLauncher>::scale_rows(float* x, std::int64_t rows, std::int64_t width, const float* by) const;
template void KernelOps<CudaLauncher>::fill(float* x, float value, std::int64_t count) const;
template void KernelOps<CudaLauncher>::copy(const float* from, float* to, const CopyShape& shape) const;
template void KernelOps<CudaLauncher>::gather_rows(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) const;
template void KernelOps<CudaLauncher>::clear_rows(float* x, const std::uint8_t* valid, std::int64_t rows, std::int64_t width) const;
template void KernelOps<CudaLauncher>::embedding(const TensorView& table, const std::int64_t* ids, std::int64_t count, float* y) const;
template void KernelOps<CudaLauncher>::widen(const TensorView& from, float* y) const;
template void KernelOps<CudaLauncher>::argmax(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) const;
template void KernelOps<CudaLauncher>::advance(std::int64_t* counters, std::int64_t count, std::int64_t by) const;

}  // namespace bigmodel::ops
