// SPDX-License-Identifier: Apache-2.0
// Every operation that blocks need, on one device. CpuOps is the readable specification; KernelOps (ops/cuda) does the same on a GPU.
#pragma once

#include <cstdint>
#include <span>

#include "bigmodel/core/tensor_view.h"
#include "bigmodel/ops/activation.h"
#include "bigmodel/ops/attention.h"
#include "bigmodel/ops/norm.h"
#include "bigmodel/ops/rope.h"

namespace bigmodel::ops {

/// What happens to a matrix product on its way out: y = residual + scale * (W x + bias).
struct LinearEnd {
  const float* residual = nullptr;   ///< [rows, out], may be y itself; null: zeros
  float scale = 1;
  /// Rows are rounded to bfloat16 where the weight is bfloat16 and there are enough of them for matrix units.
  bool bf16_products = false;
};

/// One of several matrices that take the same rows.
struct LinearPart {
  TensorView weight;                 ///< [out, in]
  const TensorView* bias = nullptr;  ///< [out]; null: none
  float* y = nullptr;                ///< [rows, out]
};

/// gate and up of a gated MLP, both [out, in].
struct GatedWeights {
  TensorView gate, up;
  const TensorView* gate_bias = nullptr;
  const TensorView* up_bias = nullptr;
  float gate_scale = 1;              ///< on the gate, before the activation
};

enum class NormKind : std::uint8_t { rms, layer };

/// Element (i, j, k, c) for i < outer, j < middle, k < inner, c < width; strides in elements, those of c are 1.
struct CopyShape {
  std::int64_t outer = 1, middle = 1, inner = 1, width = 0;
  std::int64_t from_outer = 0, from_middle = 0, from_inner = 0;
  std::int64_t to_outer = 0, to_middle = 0, to_inner = 0;
};

/// Angles of rotary positions: positions[row] * inv_freq[pair].
struct RopeAngles {
  const std::int64_t* positions = nullptr;   ///< [rows]
  const float* inv_freq = nullptr;           ///< [pairs]
  std::int64_t pairs = 0;
  float gain = 1;
  RopePairing pairing = RopePairing::half;
};

/// Where rows of keys or values go: a cache [batch, kv_heads, capacity, dim] that holds `past` rows of each head.
struct CachePlace {
  std::byte* data = nullptr;
  DType dtype = DType::float32;              ///< float32, bfloat16 or float16
  std::int64_t batch = 1, kv_heads = 1, capacity = 0, dim = 0;
  std::int64_t past = 0;
  const std::int64_t* past_there = nullptr;  ///< where given, `past` is read here (on the device) when the work runs
};

/// Attention over a cache of the device.
struct CacheView {
  DType dtype = DType::float32;              ///< of keys and values
  const std::int64_t* past_there = nullptr;  ///< where given: keys = *past_there + queries and first_query = *past_there when the work runs; AttentionInput::keys is then the most there can be
};

/// How a router chooses (ops/routing.h is the meaning).
struct RoutingRule {
  enum class Score : std::uint8_t {
    softmax,              ///< of all logits
    sigmoid,
    softmax_after_top_k,  ///< of the chosen logits
    sparse_mixer,         ///< two experts, one after the other, each by the softmax of those near the best
  };
  std::int64_t experts = 0, top_k = 1;
  Score score = Score::softmax;
  std::int64_t groups = 0, top_groups = 0;
  bool group_by_max = false;   ///< else by the sum of the two best
  bool normalise = false;
  float normalise_eps = 0;
  float scale = 1, jitter = 0;
};

/// Stacked matrices of experts.
struct ExpertWeights {
  TensorView gate_up;                        ///< [experts, parts * width, size], transposed: [experts, size, parts * width]
  TensorView down;                           ///< [experts, size, width], transposed: [experts, width, size]
  const TensorView* gate_up_bias = nullptr;  ///< [experts, parts * width]
  const TensorView* down_bias = nullptr;     ///< [experts, size]
  bool plain = false;                        ///< one part, no gate: act(up x)
  bool transposed = false;
  bool interleaved = false;                  ///< gate and up alternate; else the gate's rows come first
  bool clamped_swiglu = false;               ///< (clamp(up) + 1) * min(gate, limit) * sigmoid(alpha * gate)
  Activation act = Activation::identity;
  float alpha = 1, limit = 0;
};

/// Depthwise causal convolution; the tail [batch, kernel - 1, channels] is what came before and is brought up to date.
struct ConvWeights {
  TensorView weight;                         ///< [channels, 1, kernel]
  const TensorView* bias = nullptr;          ///< [channels]
  std::int64_t channels = 0, kernel = 1;
};

/// Mamba 1: s = exp(dt * -exp(A_log)) * s + dt * B * h; y = (sum of s * C + D * h) * act(gate), dt = softplus(dt).
struct SelectiveScan {
  const float* h = nullptr;                  ///< [batch * length, inner]
  const float* dt = nullptr;                 ///< [batch * length, inner]
  const float* b = nullptr;                  ///< [batch * length, states]
  const float* c = nullptr;
  const float* gate = nullptr;               ///< row r at gate + r * gate_stride
  std::int64_t gate_stride = 0;
  TensorView a_log;                          ///< [inner, states]
  TensorView d;                              ///< [inner]
  Activation act = Activation::silu;
  float* state = nullptr;                    ///< [batch, inner, states], brought up to date
  std::int64_t batch = 1, length = 1, inner = 0, states = 0;
};

/// Mamba 2, head by head: step = softplus(dt + dt_bias), clamped where limited; s = exp(step * -exp(A_log)) * s + step * x * B; y = sum of s * C + D * x.
struct SelectiveScan2 {
  const float* h = nullptr;                  ///< [batch * length, inner + 2 * groups * states]: x, B, C
  const float* dt = nullptr;                 ///< row r at dt + r * dt_stride, heads of them
  std::int64_t dt_stride = 0;
  TensorView dt_bias, a_log, d;              ///< [heads]
  bool limited = false;
  float least_step = 0, most_step = 0;
  float* state = nullptr;                    ///< [batch, heads, head_dim, states]
  std::int64_t batch = 1, length = 1, heads = 0, head_dim = 0, groups = 1, states = 0;
};

/// Pointers are into the device's memory, activations float32 and row-major, weights of any dtype that ops::widen takes. Calls queue work in
/// the device's compute lane and return; what spans hold in RAM is copied at the call. Nothing is allocated but scratch from the device's
/// pool. The same call on the same bytes gives the same bits, whatever lies beside them. Throw UnsupportedError (a dtype that is no
/// weight), DeviceError.
class DeviceOps {
 public:
  virtual ~DeviceOps() = default;

  // Matrix products: linear_ops.
  /// weight [out, in], bias [out] or null; y [rows, out].
  virtual void linear(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y, const LinearEnd& end) const = 0;
  /// weight [in, out].
  virtual void linear_transposed(const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) const = 0;
  /// Each part as linear() would; one launch where that is faster.
  virtual void linear_group(const float* x, std::int64_t rows, std::span<const LinearPart> parts, const LinearEnd& end) const = 0;
  /// y [rows, out] = act(gate_scale * (gate x)) * (up x).
  virtual void gated_linear(const float* x, std::int64_t rows, const GatedWeights& weights, Activation act, float* y, const LinearEnd& end) const = 0;

  // Norms.
  virtual void norm(NormKind kind, const float* x, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* y) const = 0;
  /// sum = x + scale * delta, y = norm(sum). sum may be x.
  virtual void add_norm(NormKind kind, const float* x, const float* delta, float scale, std::int64_t rows, std::int64_t size, const NormWeights& weights, float* sum, float* y) const = 0;

  // Element by element.
  virtual void activate(Activation act, float* x, std::int64_t count) const = 0;
  /// y(r, c) = act(gate(r, c)) * times(r, c); strides in elements; y may be gate or times.
  virtual void activate_times(Activation act, const float* gate, std::int64_t gate_stride, const float* times, std::int64_t times_stride, std::int64_t rows, std::int64_t width,
                              float* y, std::int64_t y_stride) const = 0;
  /// a += scale * b.
  virtual void add_scaled(float* a, const float* b, float scale, std::int64_t count) const = 0;
  virtual void multiply(float* a, const float* b, std::int64_t count) const = 0;
  virtual void scale(float* x, float factor, std::int64_t count) const = 0;
  virtual void clamp(float* x, float limit, std::int64_t count) const = 0;
  /// cap * tanh(x / cap).
  virtual void soft_cap(float* x, float cap, std::int64_t count) const = 0;
  /// x(r, c) *= by(c).
  virtual void scale_columns(float* x, std::int64_t rows, std::int64_t width, const TensorView& by) const = 0;
  /// x(r, c) *= by(r).
  virtual void scale_rows(float* x, std::int64_t rows, std::int64_t width, const float* by) const = 0;
  virtual void fill(float* x, float value, std::int64_t count) const = 0;

  // Moving.
  virtual void copy(const float* from, float* to, const CopyShape& shape) const = 0;
  /// Row i of `to` is row rows[i] of `from`; `rows` is in the device's memory.
  virtual void gather_rows(const float* from, const std::int64_t* rows, std::int64_t count, std::int64_t width, float* to) const = 0;
  /// Rows whose `valid` (device memory, [rows]) is 0 become zeros.
  virtual void clear_rows(float* x, const std::uint8_t* valid, std::int64_t rows, std::int64_t width) const = 0;
  /// Row i of y is row ids[i] of the table, widened. Ids are in range.
  virtual void embedding(const TensorView& table, const std::int64_t* ids, std::int64_t count, float* y) const = 0;
  /// Element i of y, as float32.
  virtual void widen(const TensorView& from, float* y) const = 0;

  // Attention.
  /// x [rows, heads, head_dim] in place.
  virtual void rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, const RopeAngles& angles) const = 0;
  /// `from` [batch, count, kv_heads, dim] goes behind what the cache holds.
  virtual void append_to_cache(const float* from, std::int64_t count, const CachePlace& place) const = 0;
  /// As ops::attention. Keys and values are of view.dtype; every pointer of `rule` is into the device's memory.
  virtual void attention(const AttentionInput& in, const CacheView& view, const AttentionRule& rule, float* out) const = 0;

  // Mixtures of experts.
  /// As Routing::route for every row. choice_bias [experts] or null; ids and weights [rows, top_k].
  virtual void route(const float* logits, std::int64_t rows, const RoutingRule& rule, const float* choice_bias, std::int64_t* ids, float* weights) const = 0;
  /// y [rows, size] = for each row the sum over its top_k experts of weights * down(combine(gate_up x)).
  virtual void experts(const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k, const ExpertWeights& experts, float* y,
                       const LinearEnd& end) const = 0;

  // States between tokens.
  /// y [batch * length, channels].
  virtual void causal_conv(const float* x, float* tail, std::int64_t batch, std::int64_t length, const ConvWeights& weights, float* y) const = 0;
  /// y [batch * length, inner].
  virtual void selective_scan(const SelectiveScan& scan, float* y) const = 0;
  virtual void selective_scan2(const SelectiveScan2& scan, float* y) const = 0;

  // Choice of tokens.
  /// ids[r]: the first of the largest of row r.
  virtual void argmax(const float* x, std::int64_t rows, std::int64_t width, std::int64_t* ids) const = 0;
  /// step[0] += by for each of `count` counters (device memory).
  virtual void advance(std::int64_t* counters, std::int64_t count, std::int64_t by) const = 0;
};

}  // namespace bigmodel::ops
