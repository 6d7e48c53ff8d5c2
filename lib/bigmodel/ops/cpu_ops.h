// SPDX-License-Identifier: Apache-2.0
// DeviceOps on the processor: what every operation means, and what the GPU's kernels are held against.
#pragma once

#include "bigmodel/device/cpu/cpu_context.h"
#include "bigmodel/ops/device_ops.h"

namespace bigmodel::ops {

/// Done on return. Where a product's `end` asks for nothing, it is ops::linear; bfloat16 products are the context's affair.
class CpuOps final : public DeviceOps {
 public:
  explicit CpuOps(const CpuContext& cpu) : cpu_(cpu) {}

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
  CpuContext cpu_;
};

}  // namespace bigmodel::ops
