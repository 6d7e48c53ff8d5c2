// SPDX-License-Identifier: Apache-2.0
// KernelOps' matrix products: few rows by gemv_kernel, many by a library where there is one, else by tiles.
#pragma once

#include "bigmodel/core/error.h"
#include "bigmodel/ops/cuda/gemv_kernel.cuh"
#include "bigmodel/ops/cuda/kernel_ops.h"
#include "bigmodel/ops/cuda/tile_kernels.cuh"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {

/// y = residual + scale * act(gate_scale * gate) * up; y may be up or residual.
static __global__ void gated_finish_kernel(const float* gate, const float* up, std::int64_t count, Activation act, float gate_scale, const float* residual, float scale, float* y) {
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const float v = scale * (activation_of(act, gate_scale * gate[i]) * up[i]);
    y[i] = residual == nullptr ? v : residual[i] + v;
  }
}

namespace linear_launch {

inline void check(const TensorView& weight, const TensorView* bias, std::size_t out_dimension) {
  BIGMODEL_ASSERT(!weight.is_meta() && weight.shape.size() == 2);
  BIGMODEL_ASSERT(bias == nullptr || (!bias->is_meta() && element_count(bias->shape) == weight.size(out_dimension)));
  if (!is_weight_dtype(weight.dtype)) throw_not_a_weight_dtype(weight.dtype);
  if (bias != nullptr && !is_weight_dtype(bias->dtype)) throw_not_a_weight_dtype(bias->dtype);
}

/// Rows begin where wide loads may, those of x too if its first does: they are as long in elements.
inline bool takes_vectors(const TensorView& weight) {
  const std::int64_t alignment = block_size(weight.dtype) > 1 ? 2 : 16;
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(weight.data)) % alignment == 0 && byte_count(weight.dtype, weight.size(1)) % alignment == 0;
}

template <class Weights, class Launcher>
void launch_gemv_of(const Launcher& launcher, GemvWork& work) {
  const auto launch = [&](auto kernel, int outs_of_group) {
    for (int i = 0; i < work.part_count; ++i) {
      work.parts[i].first_group = work.groups;
      if (work.gated && i == 1) continue;
      const std::int64_t outs = work.gated ? outs_of_group / 2 : outs_of_group;
      work.groups += work.parts[i].out / outs + (work.parts[i].out % outs != 0 ? 1 : 0);
    }
    launcher.launch(kernel, gemv_shape(work.groups, work.split), work);
  };
  if (work.rows == 1) {
    launch(&gemv_kernel<Weights, 1, 2>, 2);
  } else if (work.rows <= 4) {
    launch(&gemv_kernel<Weights, 4, 4>, 4);
  } else {
    launch(&gemv_kernel<Weights, 8, 2>, 2);
  }
}

template <class Launcher>
void launch_gemv(const Launcher& launcher, GemvWork work, DType dtype, int processors) {
  std::int64_t outs = 0;
  for (int i = 0; i < work.part_count; ++i) outs += work.parts[i].out;
  work.split = gemv_split(outs, work.in, processors);
  switch (dtype) {
    case DType::bfloat16: return launch_gemv_of<HalfWeights<true>>(launcher, work);
    case DType::float16: return launch_gemv_of<HalfWeights<false>>(launcher, work);
    case DType::q8_0: return launch_gemv_of<Q8Weights>(launcher, work);
    case DType::q4_0: return launch_gemv_of<Q4Weights>(launcher, work);
    default: return launch_gemv_of<FloatWeights>(launcher, work);
  }
}

/// Rows by a library or by tiles; scratch comes from the device.
template <class Launcher>
class ManyRows {
 public:
  ManyRows(const Accelerator& device, const Launcher& launcher, const MatrixProduct* products) : device_(device), launcher_(launcher), products_(products) {}

  void run(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const {
    const std::int64_t outs = weight.size(0), in = weight.size(1);
    const bool narrow = end.bf16_products && weight.dtype == DType::bfloat16 && device_.description().capability >= 80;
    const ProductEnd whole{y, outs, stored(bias), 0, end.residual, end.scale};
    if (products_ == nullptr || in == 0) return tiles(x, rows, stored(weight), outs, in, narrow, whole);
    if (narrow) {
      const auto rounded = device_.allocate(static_cast<std::uint64_t>(rows * in) * 2);
      launcher_.launch(&narrow_kernel, element_shape(rows * in), x, reinterpret_cast<std::uint16_t*>(rounded.get()), rows * in);
      if (!multiply(rounded.get(), weight.data, DType::bfloat16, rows, outs, in, whole)) tiles(x, rows, stored(weight), outs, in, true, whole);
      return;
    }
    if (weight.dtype == DType::float32) {
      if (!multiply(reinterpret_cast<const std::byte*>(x), weight.data, DType::float32, rows, outs, in, whole)) tiles(x, rows, stored(weight), outs, in, false, whole);
      return;
    }
    // Widened a panel at a time: exact products of what is stored, with little scratch.
    const std::int64_t room = std::min(kPanelBytes, static_cast<std::int64_t>(device_.description().memory_bytes / 64));
    const std::int64_t panel = std::min(std::max<std::int64_t>(room / 4 / in / kTile * kTile, kTile), outs);
    const auto wide = device_.allocate(static_cast<std::uint64_t>(panel * in) * 4);
    for (std::int64_t first = 0; first < outs; first += panel) {
      const std::int64_t some = std::min(panel, outs - first);
      ProductEnd part = whole;
      part.first = first;
      part.y += first;
      if (part.residual != nullptr) part.residual += first;
      auto* values = reinterpret_cast<float*>(wide.get());
      launcher_.launch(&widen_panel_kernel, element_shape((some * in + 7) / 8), stored(weight), first * in, some * in, values);
      if (!multiply(reinterpret_cast<const std::byte*>(x), wide.get(), DType::float32, rows, some, in, part)) {
        tiles(x, rows, {wide.get(), DType::float32}, some, in, false, part);
      }
    }
  }

 private:
  /// Nor more than a 64th of the card's memory.
  static constexpr std::int64_t kPanelBytes = std::int64_t{64} << 20;

  void tiles(const float* x, std::int64_t rows, const StoredValues& weight, std::int64_t outs, std::int64_t in, bool narrow, const ProductEnd& end) const {
    if (narrow) {
      launcher_.launch(&mma_tile_kernel, tile_shape(rows, outs, kTile, 128), x, rows, weight, outs, in, end);
    } else {
      launcher_.launch(&float_tile_kernel, tile_shape(rows, outs, kTile, 256), x, rows, weight, outs, in, false, end);
    }
  }

  bool multiply(const std::byte* x, const std::byte* w, DType dtype, std::int64_t rows, std::int64_t outs, std::int64_t in, const ProductEnd& end) const {
    const bool whole = end.y_stride == outs, biased = end.bias.data != nullptr, in_place = end.residual == end.y;
    if (whole && !biased && (end.residual == nullptr || in_place)) return products_->multiply(x, w, dtype, rows, outs, in, end.scale, in_place ? 1.0F : 0.0F, end.y);
    float* to = end.y;
    std::shared_ptr<std::byte[]> scratch;
    if (!whole || in_place) {
      scratch = device_.allocate(static_cast<std::uint64_t>(rows * outs) * 4);
      to = reinterpret_cast<float*>(scratch.get());
    }
    if (!products_->multiply(x, w, dtype, rows, outs, in, 1.0F, 0.0F, to)) return false;
    launcher_.launch(&finish_product_kernel, element_shape(rows * outs), to, rows, outs, end);
    return true;
  }

  const Accelerator& device_;
  const Launcher& launcher_;
  const MatrixProduct* products_;
};

}  // namespace linear_launch

template <class Launcher>
void KernelOps<Launcher>::linear(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const {
  const LinearPart part{weight, bias, y};
  linear_group(x, rows, {&part, 1}, end);
}

template <class Launcher>
void KernelOps<Launcher>::linear_group(const float* x, std::int64_t rows, std::span<const LinearPart> parts, const LinearEnd& end) const {
  GemvWork work{.x = x, .rows = static_cast<int>(std::min<std::int64_t>(rows, kMostGemvRows)), .vectors = reinterpret_cast<std::uintptr_t>(x) % 16 == 0, .residual = end.residual, .scale = end.scale};
  bool together = rows <= kMostGemvRows && parts.size() <= static_cast<std::size_t>(kMostGemvParts);
  for (const LinearPart& p : parts) {
    linear_launch::check(p.weight, p.bias, 0);
    together = together && p.weight.dtype == parts.front().weight.dtype && p.weight.size(1) == parts.front().weight.size(1);
  }
  if (rows == 0 || parts.empty()) return;
  if (!together && parts.size() > 1) {
    for (const LinearPart& p : parts) linear_group(x, rows, {&p, 1}, end);
    return;
  }
  if (!together) {
    const LinearPart& only = parts.front();
    if (only.weight.size(0) != 0) linear_launch::ManyRows<Launcher>(device_, launcher_, products_).run(x, rows, only.weight, only.bias, only.y, end);
    return;
  }
  work.in = parts.front().weight.size(1);
  for (const LinearPart& p : parts) {
    if (p.weight.size(0) == 0) continue;
    work.vectors = work.vectors && linear_launch::takes_vectors(p.weight);
    work.parts[work.part_count++] = {p.weight.data, stored(p.bias), p.y, p.weight.size(0), 0};
  }
  if (work.part_count != 0) linear_launch::launch_gemv(launcher_, work, parts.front().weight.dtype, device_.description().processors);
}

template <class Launcher>
void KernelOps<Launcher>::gated_linear(const float* x, std::int64_t rows, const GatedWeights& weights, Activation act, float* y, const LinearEnd& end) const {
  linear_launch::check(weights.gate, weights.gate_bias, 0);
  linear_launch::check(weights.up, weights.up_bias, 0);
  const std::int64_t out = weights.gate.size(0), in = weights.gate.size(1);
  BIGMODEL_ASSERT(weights.up.size(0) == out && weights.up.size(1) == in);
  if (rows == 0 || out == 0) return;
  if (rows <= kMostGemvRows && weights.gate.dtype == weights.up.dtype) {
    GemvWork work{.part_count = 2, .x = x, .rows = static_cast<int>(rows), .in = in, .residual = end.residual, .scale = end.scale, .gated = true, .act = act, .gate_scale = weights.gate_scale};
    work.vectors = reinterpret_cast<std::uintptr_t>(x) % 16 == 0 && linear_launch::takes_vectors(weights.gate) && linear_launch::takes_vectors(weights.up);
    work.parts[0] = {weights.gate.data, stored(weights.gate_bias), y, out, 0};
    work.parts[1] = {weights.up.data, stored(weights.up_bias), nullptr, out, 0};
    linear_launch::launch_gemv(launcher_, work, weights.gate.dtype, device_.description().processors);
    return;
  }
  const auto scratch = device_.allocate(static_cast<std::uint64_t>(rows * out) * 4 * (end.residual == y ? 2 : 1));
  auto* gate = reinterpret_cast<float*>(scratch.get());
  float* up = end.residual == y ? gate + rows * out : y;
  const LinearEnd plain{.bf16_products = end.bf16_products};
  linear(x, rows, weights.gate, weights.gate_bias, gate, plain);
  linear(x, rows, weights.up, weights.up_bias, up, plain);
  launcher_.launch(&gated_finish_kernel, element_shape(rows * out), gate, up, rows * out, act, weights.gate_scale, end.residual, end.scale, y);
}

template <class Launcher>
void KernelOps<Launcher>::linear_transposed(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) const {
  linear_launch::check(weight, bias, 1);
  const std::int64_t in = weight.size(0), outs = weight.size(1);
  if (rows == 0 || outs == 0) return;
  const ProductEnd end{y, outs, stored(bias), 0, nullptr, 1.0F};
  const LaunchShape columns{.grid_x = static_cast<unsigned>(blocks_for(outs, 64)), .threads = kColumnWarps * 32};
  if (rows == 1) {
    launcher_.launch(&columns_kernel<1>, columns, x, static_cast<int>(rows), stored(weight), outs, in, end);
  } else if (rows <= kMostGemvRows) {
    launcher_.launch(&columns_kernel<8>, columns, x, static_cast<int>(rows), stored(weight), outs, in, end);
  } else {
    launcher_.launch(&float_tile_kernel, tile_shape(rows, outs, kTile, 256), x, rows, stored(weight), outs, in, true, end);
  }
}

}  // namespace bigmodel::ops
