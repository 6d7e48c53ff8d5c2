// SPDX-License-Identifier: Apache-2.0
// DeviceOps as kernels: checks, launch shapes and scratch, over a launcher that CUDA and the tests' emulator each have. Methods are defined in the
// *_kernels.cuh of their family, which nvcc compiles for cards (the .cu beside it) and g++ for the emulator.
#pragma once

#include <cstddef>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/device/launch_shape.h"
#include "bigmodel/ops/device_ops.h"

namespace bigmodel::ops {

using bigmodel::LaunchShape;

/// A library's matrix product for many rows (cuBLASLt). Null in KernelOps: own kernels do it.
class MatrixProduct {
 public:
  virtual ~MatrixProduct() = default;
  /// y [rows, out] = beta * y + alpha * x [rows, in] w [out, in]^T, float32 sums, in the compute lane; x and w both `dtype` (float32 without TF32,
  /// bfloat16, float16). False where the library is not there or refuses the shape: nothing was queued.
  virtual bool multiply(const std::byte* x, const std::byte* w, DType dtype, std::int64_t rows, std::int64_t out, std::int64_t in, float alpha, float beta, float* y) const = 0;
};

/// Launcher: a copyable class with
///   template <class... P, class... A> void launch(void (*kernel)(P...), const LaunchShape&, A... arguments) const;
/// that queues the kernel in the compute lane of the device and throws DeviceError where that fails.
template <class Launcher>
class KernelOps final : public DeviceOps {
 public:
  /// `device` gives scratch and what is known of the card; it and `products` must outlive this.
  KernelOps(const Accelerator& device, Launcher launcher, const MatrixProduct* products = nullptr) : device_(device), launcher_(std::move(launcher)), products_(products) {}

  void linear(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const override;
  void linear_transposed(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) const override;
  void linear_group(const float* x, std::int64_t rows, std::span<const LinearPart> parts, const LinearEnd& end) const override;
  void gated_linear(const float* x, std::int64_t rows, const GatedWeights& weights, Activation act, float* y, const LinearEnd& end) const override;
  void norm(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) const override;
  void add_norm(NormKind kind, const float* x, const float* delta, float scale, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* sum, float* y) const override;
  void activate(Activation act, float* x, std::int64_t count) const override;
  void activate_times(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows, std::int64_t width, float* y, std::int64_t y_stride) const override;
  void add_scaled(float* a, const float* b, float scale, std::int64_t count) const override;
  void multiply(float* a, const float* b, std::int64_t count) const override;
  void scale(float* x, float factor, std::int64_t count) const override;
  void clamp(float* x, float limit, std::int64_t count) const override;
  void soft_cap(float* x, float cap, std::int64_t count) const override;
  void scale_columns(float* x, std::int64_t rows, std::int64_t width, const TensorView& by) const override;
  void scale_rows(float* x, std::int64_t rows, std::int64_t width, const float* by) const override;
  void fill(float* x, float value, std::int64_t count) const override;
  void copy(const float* from, float* to, const CopyShape& shape) const override;
  void gather_rows(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) const override;
  void clear_rows(float* x, const std::uint8_t* valid, std::int64_t rows, std::int64_t width) const override;
  void embedding(const TensorView& table, const std::int64_t* ids, std::int64_t count, float* y) const override;
  void widen(const TensorView& from, float* y) const override;
  void rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles& angles) const override;
  void append_to_cache(const float* from, std::int64_t count, const CachePlace& place) const override;
  void attention(const AttentionInput& in, const CacheView& view, const AttentionRule& rule, float* out) const override;
  void route(const float* logits, std::int64_t rows, const RoutingRule& rule, const float* choice_bias, std::int64_t* ids, float* weights) const override;
  void experts(const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k, const ExpertWeights& experts, float* y, const LinearEnd& end) const override;
  void causal_conv(const float* x, float* tail, std::int64_t batch, std::int64_t length, const ConvWeights& weights, float* y) const override;
  void selective_scan(const SelectiveScan& scan, float* y) const override;
  void selective_scan2(const SelectiveScan2& scan, float* y) const override;
  void argmax(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) const override;
  void advance(std::int64_t* counters, std::int64_t count, std::int64_t by) const override;

 private:
  const Accelerator& device_;
  Launcher launcher_;
  const MatrixProduct* products_;
};

}  // namespace bigmodel::ops
