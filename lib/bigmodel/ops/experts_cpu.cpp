// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts on the processor: the rows of each expert together, experts in ascending order.
#include <algorithm>
#include <cstring>
#include <vector>

#include "bigmodel/ops/cpu_ops.h"
#include "bigmodel/ops/experts.h"
#include "bigmodel/ops/linear.h"
#include "bigmodel/ops/routing.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

/// One expert's matrix of a stack, or row of biases.
TensorView slice(const TensorView& t, std::int64_t expert) {
  TensorView out{t.dtype, Shape(t.shape.begin() + 1, t.shape.end()), nullptr};
  out.data = t.data + expert * byte_count(t.dtype, element_count(out.shape));
  return out;
}

void product(const CpuContext& cpu, const float* x, std::int64_t rows, const ExpertWeights& w, const TensorView& stack, const TensorView* biases, std::int64_t expert, float* y) {
  const TensorView matrix = slice(stack, expert);
  TensorView bias;
  if (biases != nullptr) bias = slice(*biases, expert);
  const TensorView* own = biases == nullptr ? nullptr : &bias;
  if (w.transposed) {
    linear_transposed(cpu, x, rows, matrix, own, y);
  } else {
    linear(cpu, x, rows, matrix, own, y);
  }
}

void combine(const ExpertWeights& w, const float* from, std::int64_t width, float* to) {
  for (std::int64_t i = 0; i < width; ++i) {
    if (w.plain) {
      to[i] = activate(w.act, from[i]);
      continue;
    }
    float gate = w.interleaved ? from[2 * i] : from[i];
    float up = w.interleaved ? from[2 * i + 1] : from[width + i];
    if (w.clamped_swiglu) {
      gate = std::min(gate, w.limit);
      up = std::clamp(up, -w.limit, w.limit);
      to[i] = (up + 1) * gate * activate(Activation::sigmoid, gate * w.alpha);
    } else {
      to[i] = activate(w.act, gate) * up;
    }
  }
}

}  // namespace

void CpuOps::route(const float* logits, std::int64_t rows, const RoutingRule& rule, const float* choice_bias, std::int64_t* ids, float* weights) const {
  const auto experts = static_cast<std::size_t>(rule.experts);
  for (std::int64_t r = 0; r < rows; ++r) {
    route_row(rule, {logits + r * rule.experts, experts}, {choice_bias, choice_bias == nullptr ? 0 : experts}, ids + r * rule.top_k, weights + r * rule.top_k);
  }
}

void add_expert(const CpuContext& cpu, const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k, const ExpertWeights& w,
                std::int64_t place, std::int64_t expert, float* y) {
  std::vector<std::int64_t> slots;
  for (std::int64_t i = 0; i < rows * top_k; ++i) {
    if (ids[i] == expert) slots.push_back(i);
  }
  if (slots.empty()) return;
  const std::int64_t parts = w.plain ? 1 : 2;
  const std::int64_t width = w.transposed ? w.down.size(1) : w.down.size(2);
  const auto count = static_cast<std::int64_t>(slots.size());
  std::vector<float> in(static_cast<std::size_t>(count * size)), both(static_cast<std::size_t>(count * parts * width)), h(static_cast<std::size_t>(count * width));
  for (std::int64_t i = 0; i < count; ++i) std::copy_n(x + slots[static_cast<std::size_t>(i)] / top_k * size, size, in.data() + i * size);
  product(cpu, in.data(), count, w, w.gate_up, w.gate_up_bias, place, both.data());
  for (std::int64_t i = 0; i < count; ++i) combine(w, both.data() + i * parts * width, width, h.data() + i * width);
  std::vector<float>& out = in;
  product(cpu, h.data(), count, w, w.down, w.down_bias, place, out.data());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t slot = slots[static_cast<std::size_t>(i)];
    float* to = y + slot / top_k * size;
    for (std::int64_t d = 0; d < size; ++d) to[d] += out[static_cast<std::size_t>(i * size + d)] * weights[slot];
  }
}

void CpuOps::experts(const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k, const ExpertWeights& w, float* y,
                     const LinearEnd&) const {
  std::fill_n(y, rows * size, 0.0F);
  for (std::int64_t e = 0; e < w.gate_up.size(0); ++e) add_expert(cpu_, x, rows, size, ids, weights, top_k, w, e, e, y);
}

}  // namespace bigmodel::ops
