// SPDX-License-Identifier: Apache-2.0
// What kernels of experts are told: the stacked matrices in any layout, and what becomes of gate and up.
#pragma once

#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/activation_formulas.h"
#include "bigmodel/ops/cuda/moe_shapes.h"
#include "bigmodel/ops/cuda/stored_values.cuh"

namespace bigmodel::ops::kernels {

/// How gate and up are joined.
struct Joining {
  Activation act = Activation::identity;
  bool plain = false, clamped_swiglu = false;
  float alpha = 1, limit = 0;
};

static __device__ BIGMODEL_NOINLINE float joined(Joining how, float of_gate, float of_up) {
  if (how.plain) return activation_of(how.act, of_gate);
  if (!how.clamped_swiglu) return activation_of(how.act, of_gate) * of_up;
  of_gate = of_gate > how.limit ? how.limit : of_gate;
  return (clamped(of_up, -how.limit, how.limit) + 1) * of_gate * sigmoid_of(of_gate * how.alpha);
}

struct ExpertWork {
  const float* x = nullptr;             ///< [rows, size]
  const std::int64_t* ids = nullptr;    ///< [rows, top_k]
  const float* weights = nullptr;       ///< [rows, top_k]
  const float* residual = nullptr;
  float* y = nullptr;                   ///< [rows, size]
  float* hidden = nullptr;              ///< [slots, width]; slot n is expert n % top_k of row n / top_k
  float* products = nullptr;            ///< [slots, size]
  const Bytes* gate_up = nullptr;
  const Bytes* down = nullptr;
  SmallTensor gate_up_bias, down_bias;
  std::int64_t size = 0, width = 0, top_k = 1, experts = 0;
  float scale = 1;
  Joining how;
  bool transposed = false, interleaved = false;
  bool aligned_x = false, aligned_hidden = false, aligned_up = false, aligned_down = false;   ///< whole(): every row, and every eighth element of it

  __device__ std::int64_t parts() const { return how.plain ? 1 : 2; }
  /// Of output j, among the parts * width of an expert. Plain: gate() alone.
  __device__ std::int64_t gate(std::int64_t j) const { return interleaved && !how.plain ? 2 * j : j; }
  __device__ std::int64_t up(std::int64_t j) const { return interleaved ? 2 * j + 1 : width + j; }

  /// What goes into `down`, from the products with gate and up, which have no bias yet.
  __device__ float combined(std::int64_t expert, std::int64_t j, float of_gate, float of_up) const {
    if (gate_up_bias.data != nullptr) {
      of_gate += gate_up_bias[expert * parts() * width + gate(j)];
      if (!how.plain) of_up += gate_up_bias[expert * parts() * width + up(j)];
    }
    return joined(how, of_gate, of_up);
  }
};

/// Calls f with the format of rows of weights.
template <class F>
void with_weight_rows(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(F32Row{});
    case DType::bfloat16: return f(BF16Row{});
    case DType::float16: return f(F16Row{});
    case DType::q8_0: return f(Q8Row{});
    case DType::q4_0: return f(Q4Row{});
    default: throw UnsupportedError("weight: expected float32, bfloat16, float16, q8_0 or q4_0, got " + std::string(name(dtype)));
  }
}

}  // namespace bigmodel::ops::kernels
