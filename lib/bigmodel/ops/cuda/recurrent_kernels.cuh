// SPDX-License-Identifier: Apache-2.0
// KernelOps: causal convolutions and the scans of Mamba, whose states stay in registers from token to token.
#pragma once

#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/activation_formulas.h"
#include "bigmodel/ops/cuda/kernel_ops.h"
#include "bigmodel/ops/cuda/recurrent_shapes.h"
#include "bigmodel/ops/cuda/stored_values.cuh"

namespace bigmodel::ops {
namespace kernels {

struct ConvWork {
  const float* x;       ///< [batch * length, channels]
  float* tail;          ///< [batch, kernel - 1, channels]
  float* y;
  std::int64_t length, channels, kernel;
  SmallTensor weight, bias;
  bool with_tail;       ///< the tail is brought up to date in the same launch: one thread has all of a channel's tokens

  __device__ float input(std::int64_t b, std::int64_t t, std::int64_t c) const {
    return t < 0 ? tail[(b * (kernel - 1) + t + kernel - 1) * channels + c] : x[(b * length + t) * channels + c];
  }
  /// Ascending, so that what is read was not written yet.
  __device__ void move_tail(std::int64_t b, std::int64_t c) const {
    for (std::int64_t n = 0; n < kernel - 1; ++n) tail[(b * (kernel - 1) + n) * channels + c] = input(b, length - (kernel - 1) + n, c);
  }
};

static __global__ void __launch_bounds__(128) convolve(ConvWork work) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * 128 + threadIdx.x;
  const std::int64_t b = blockIdx.z;
  if (c >= work.channels) return;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kConvTokens;
  const float bias = work.bias.data == nullptr ? 0.0F : work.bias[c];
  float sums[kConvTokens];
  BIGMODEL_UNROLL
  for (int n = 0; n < kConvTokens; ++n) sums[n] = bias;
  for (std::int64_t k = 0; k < work.kernel; ++k) {
    const float weight = work.weight[c * work.kernel + k];
    BIGMODEL_UNROLL
    for (int n = 0; n < kConvTokens; ++n) {
      if (first + n < work.length) sums[n] += weight * work.input(b, first + n - (work.kernel - 1) + k, c);
    }
  }
  BIGMODEL_UNROLL
  for (int n = 0; n < kConvTokens; ++n) {
    if (first + n < work.length) work.y[(b * work.length + first + n) * work.channels + c] = sums[n];
  }
  if (work.with_tail) work.move_tail(b, c);
}

static __global__ void __launch_bounds__(128) move_conv_tail(ConvWork work) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * 128 + threadIdx.x;
  if (c < work.channels) work.move_tail(blockIdx.z, c);
}

struct ScanWork {
  const float* h;
  const float* dt;
  const float* b;
  const float* c;
  const float* gate;
  float* state;
  float* y;
  std::int64_t gate_stride, length, inner, states;
  SmallTensor a_log, d;
  Activation act;
};

/// Mamba 1. kLanes neighbours share a channel: lane l has its states l, l + kLanes, ...
template <int kLanes, int kStates>
__global__ void __launch_bounds__(128) scan_channels(ScanWork work) {
  constexpr int kChannels = 128 / kLanes;
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const int states = static_cast<int>(work.states);
  float* const bs = shared;
  float* const cs = bs + kScanTokens * states;
  float* const hs = cs + kScanTokens * states;
  float* const steps = hs + kScanTokens * kChannels;
  float* const gates = steps + kScanTokens * kChannels;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kLanes;
  const int channel = thread / kLanes;
  const std::int64_t first_channel = static_cast<std::int64_t>(blockIdx.x) * kChannels;
  const std::int64_t i = first_channel + channel;
  const std::int64_t batch = blockIdx.z;
  const bool there = i < work.inner;
  float a[kStates];
  float s[kStates];
  BIGMODEL_UNROLL
  for (int n = 0; n < kStates; ++n) {
    const int at = lane + kLanes * n;
    a[n] = there && at < states ? -expf(work.a_log[i * states + at]) : 0.0F;
    s[n] = there && at < states ? work.state[(batch * work.inner + i) * states + at] : 0.0F;
  }
  const float d = there ? work.d[i] : 0.0F;
  for (std::int64_t first = 0; first < work.length; first += kScanTokens) {
    const int tokens = static_cast<int>(min(static_cast<std::int64_t>(kScanTokens), work.length - first));
    const std::int64_t row = batch * work.length + first;
    __syncthreads();
    for (int n = thread; n < tokens * states; n += 128) {
      bs[n] = work.b[row * states + n];
      cs[n] = work.c[row * states + n];
    }
    for (int n = thread; n < tokens * kChannels; n += 128) {
      const std::int64_t r = row + n / kChannels;
      const std::int64_t of = first_channel + n % kChannels;
      hs[n] = of < work.inner ? work.h[r * work.inner + of] : 0.0F;
      steps[n] = of < work.inner ? softplus_of(work.dt[r * work.inner + of]) : 0.0F;
      gates[n] = of < work.inner ? activation_of(work.act, work.gate[r * work.gate_stride + of]) : 0.0F;
    }
    __syncthreads();
    for (int t = 0; t < tokens; ++t) {
      const float step = steps[t * kChannels + channel];
      const float in = hs[t * kChannels + channel];
      float sum = 0;
      BIGMODEL_UNROLL
      for (int n = 0; n < kStates; ++n) {
        const int at = lane + kLanes * n;
        if (at < states) {
          s[n] = expf(step * a[n]) * s[n] + step * bs[t * states + at] * in;
          sum += s[n] * cs[t * states + at];
        }
      }
      BIGMODEL_UNROLL
      for (int with = kLanes / 2; with > 0; with /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, with);
      if (there && lane == 0) work.y[(row + t) * work.inner + i] = (sum + d * in) * gates[t * kChannels + channel];
    }
  }
  if (!there) return;
  BIGMODEL_UNROLL
  for (int n = 0; n < kStates; ++n) {
    const int at = lane + kLanes * n;
    if (at < states) work.state[(batch * work.inner + i) * states + at] = s[n];
  }
}

struct Scan2Work {
  const float* h;       ///< rows of x, B, C
  const float* dt;
  float* state;
  float* y;
  std::int64_t dt_stride, length, heads, head_dim, groups, states;
  SmallTensor dt_bias, a_log, d;
  bool limited;
  float least_step, most_step;
};

/// Mamba 2. Eight neighbours share an element of a head: lane l has its states l, l + 8, ...
template <int kStates>
__global__ void __launch_bounds__(128) scan_heads(Scan2Work work) {
  constexpr int kElements = 16;
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const int states = static_cast<int>(work.states);
  float* const bs = shared;
  float* const cs = bs + kScanTokens * states;
  float* const xs = cs + kScanTokens * states;
  float* const steps = xs + kScanTokens * kElements;
  float* const decays = steps + kScanTokens;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 8;
  const int element = thread / 8;
  const std::int64_t head = blockIdx.y;
  const std::int64_t batch = blockIdx.z;
  const std::int64_t first_element = static_cast<std::int64_t>(blockIdx.x) * kElements;
  const std::int64_t p = first_element + element;
  const bool there = p < work.head_dim;
  const std::int64_t inner = work.heads * work.head_dim;
  const std::int64_t row_width = inner + 2 * work.groups * states;
  const std::int64_t group = head / (work.heads / work.groups);
  const float a = -expf(work.a_log[head]);
  const float d = work.d[head];
  const float dt_bias = work.dt_bias[head];
  float* const state = work.state + ((batch * work.heads + head) * work.head_dim + p) * states;
  float s[kStates];
  BIGMODEL_UNROLL
  for (int n = 0; n < kStates; ++n) s[n] = there && lane + 8 * n < states ? state[lane + 8 * n] : 0.0F;
  for (std::int64_t first = 0; first < work.length; first += kScanTokens) {
    const int tokens = static_cast<int>(min(static_cast<std::int64_t>(kScanTokens), work.length - first));
    const std::int64_t row = batch * work.length + first;
    __syncthreads();
    for (int n = thread; n < tokens * states; n += 128) {
      const float* from = work.h + (row + n / states) * row_width + inner + group * states + n % states;
      bs[n] = from[0];
      cs[n] = from[work.groups * states];
    }
    for (int n = thread; n < tokens * kElements; n += 128) {
      const std::int64_t of = first_element + n % kElements;
      xs[n] = of < work.head_dim ? work.h[(row + n / kElements) * row_width + head * work.head_dim + of] : 0.0F;
    }
    if (thread < tokens) {
      float step = softplus_of(work.dt[(row + thread) * work.dt_stride + head] + dt_bias);
      if (work.limited) step = clamped(step, work.least_step, work.most_step);
      steps[thread] = step;
      decays[thread] = expf(step * a);
    }
    __syncthreads();
    for (int t = 0; t < tokens; ++t) {
      const float in = xs[t * kElements + element];
      const float brought = steps[t] * in;
      const float decay = decays[t];
      float sum = 0;
      BIGMODEL_UNROLL
      for (int n = 0; n < kStates; ++n) {
        if (lane + 8 * n < states) {
          s[n] = decay * s[n] + brought * bs[t * states + lane + 8 * n];
          sum += s[n] * cs[t * states + lane + 8 * n];
        }
      }
      BIGMODEL_UNROLL
      for (int with = 4; with > 0; with /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, with);
      if (there && lane == 0) work.y[(row + t) * inner + head * work.head_dim + p] = sum + d * in;
    }
  }
  if (!there) return;
  BIGMODEL_UNROLL
  for (int n = 0; n < kStates; ++n) {
    if (lane + 8 * n < states) state[lane + 8 * n] = s[n];
  }
}

inline void check_states(std::int64_t states) {
  if (states > kMostStates) throw UnsupportedError("scan: expected at most " + std::to_string(kMostStates) + " states, got " + std::to_string(states));
}

}  // namespace kernels

template <class Launcher>
void KernelOps<Launcher>::causal_conv(const float* x, float* tail, std::int64_t batch, std::int64_t length, const ConvWeights& weights, float* y) const {
  if (batch == 0 || length == 0) return;
  kernels::ConvWork work{x, tail, y, length, weights.channels, weights.kernel, kernels::small(&weights.weight, "convolution"), kernels::small(weights.bias, "bias"), length <= kConvTokens};
  LaunchShape shape = conv_shape(batch, length, weights.channels);
  launcher_.launch(&kernels::convolve, shape, work);
  if (work.with_tail) return;
  shape.grid_y = 1;
  launcher_.launch(&kernels::move_conv_tail, shape, work);
}

template <class Launcher>
void KernelOps<Launcher>::selective_scan(const SelectiveScan& scan, float* y) const {
  kernels::check_states(scan.states);
  if (scan.batch == 0 || scan.length == 0) return;
  const kernels::ScanWork work{scan.h,           scan.dt,    scan.b,      scan.c, scan.gate, scan.state, y, scan.gate_stride, scan.length, scan.inner, scan.states,
                               kernels::small(&scan.a_log, "A_log"), kernels::small(&scan.d, "D"), scan.act};
  const int lanes = scan_lanes(scan.states);
  const auto kernel = lanes == 4 ? &kernels::scan_channels<4, 4> : lanes == 8 ? &kernels::scan_channels<8, 4> : &kernels::scan_channels<32, 8>;
  launcher_.launch(kernel, scan_shape(scan), work);
}

template <class Launcher>
void KernelOps<Launcher>::selective_scan2(const SelectiveScan2& scan, float* y) const {
  kernels::check_states(scan.states);
  BIGMODEL_ASSERT(scan.groups > 0 && scan.heads % scan.groups == 0);
  if (scan.batch == 0 || scan.length == 0) return;
  const kernels::Scan2Work work{scan.h, scan.dt, scan.state, y, scan.dt_stride, scan.length, scan.heads, scan.head_dim, scan.groups, scan.states,
                                kernels::small(&scan.dt_bias, "dt_bias"), kernels::small(&scan.a_log, "A_log"), kernels::small(&scan.d, "D"),
                                scan.limited, scan.least_step, scan.most_step};
  launcher_.launch(scan.states <= 128 ? &kernels::scan_heads<16> : &kernels::scan_heads<32>, scan2_shape(scan), work);
}

}  // namespace bigmodel::ops
