// SPDX-License-Identifier: Apache-2.0
// What runs from token to token, on the processor: causal convolutions and Mamba's scans.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bigmodel/ops/cpu_ops.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

std::vector<float> values(const TensorView& view) {
  const std::int64_t count = element_count(view.shape);
  std::vector<float> out(static_cast<std::size_t>(count));
  widen(view, 0, count, out.data());
  return out;
}

std::vector<float> decays(const TensorView& a_log) {
  std::vector<float> out = values(a_log);
  for (float& v : out) v = -std::exp(v);
  return out;
}

}  // namespace

void CpuOps::causal_conv(const float* x, float* tail, std::int64_t batch, std::int64_t length, const ConvWeights& w, float* y) const {
  const std::int64_t channels = w.channels;
  const std::int64_t before = w.kernel - 1;
  const std::vector<float> weight = values(w.weight);
  const std::vector<float> bias = w.bias == nullptr ? std::vector<float>(static_cast<std::size_t>(channels), 0.0F) : values(*w.bias);
  std::vector<float> next;
  for (std::int64_t b = 0; b < batch; ++b) {
    float* kept = tail + b * before * channels;
    const float* from = x + b * length * channels;
    const auto input = [&](std::int64_t t) { return t < 0 ? kept + (t + before) * channels : from + t * channels; };
    for (std::int64_t t = 0; t < length; ++t) {
      float* to = y + (b * length + t) * channels;
      std::copy(bias.begin(), bias.end(), to);
      for (std::int64_t k = 0; k < w.kernel; ++k) {
        const float* in = input(t - before + k);
        for (std::int64_t c = 0; c < channels; ++c) to[c] += weight[static_cast<std::size_t>(c * w.kernel + k)] * in[c];
      }
    }
    next.clear();
    for (std::int64_t t = length - before; t < length; ++t) next.insert(next.end(), input(t), input(t) + channels);
    std::ranges::copy(next, kept);
  }
}

void CpuOps::selective_scan(const SelectiveScan& scan, float* y) const {
  const std::vector<float> a = decays(scan.a_log);
  const std::vector<float> d = values(scan.d);
  const std::int64_t states = scan.states;
  for (std::int64_t row = 0; row < scan.batch; ++row) {
    float* ssm = scan.state + row * scan.inner * states;
    for (std::int64_t t = 0; t < scan.length; ++t) {
      const std::int64_t r = row * scan.length + t;
      for (std::int64_t i = 0; i < scan.inner; ++i) {
        const float step = ops::activate(Activation::softplus, scan.dt[r * scan.inner + i]);
        const float in = scan.h[r * scan.inner + i];
        float sum = 0;
        for (std::int64_t n = 0; n < states; ++n) {
          float& s = ssm[i * states + n];
          s = std::exp(step * a[static_cast<std::size_t>(i * states + n)]) * s + step * scan.b[r * states + n] * in;
          sum += s * scan.c[r * states + n];
        }
        sum += d[static_cast<std::size_t>(i)] * in;
        y[r * scan.inner + i] = sum * ops::activate(scan.act, scan.gate[r * scan.gate_stride + i]);
      }
    }
  }
}

void CpuOps::selective_scan2(const SelectiveScan2& scan, float* y) const {
  const std::vector<float> a = decays(scan.a_log);
  const std::vector<float> d = values(scan.d);
  const std::vector<float> dt_bias = values(scan.dt_bias);
  const std::int64_t inner = scan.heads * scan.head_dim;
  const std::int64_t width = inner + 2 * scan.groups * scan.states;
  for (std::int64_t row = 0; row < scan.batch; ++row) {
    for (std::int64_t t = 0; t < scan.length; ++t) {
      const std::int64_t r = row * scan.length + t;
      const float* in = scan.h + r * width;
      for (std::int64_t n = 0; n < scan.heads; ++n) {
        const auto head = static_cast<std::size_t>(n);
        float step = ops::activate(Activation::softplus, scan.dt[r * scan.dt_stride + n] + dt_bias[head]);
        if (scan.limited) step = std::clamp(step, scan.least_step, scan.most_step);
        const float decay = std::exp(step * a[head]);
        const std::int64_t group = n / (scan.heads / scan.groups);
        const float* b = in + inner + group * scan.states;
        const float* c = in + inner + (scan.groups + group) * scan.states;
        for (std::int64_t p = 0; p < scan.head_dim; ++p) {
          const float value = in[n * scan.head_dim + p];
          float* ssm = scan.state + ((row * scan.heads + n) * scan.head_dim + p) * scan.states;
          float sum = 0;
          for (std::int64_t s = 0; s < scan.states; ++s) {
            ssm[s] = decay * ssm[s] + step * value * b[s];
            sum += ssm[s] * c[s];
          }
          y[r * inner + n * scan.head_dim + p] = sum + d[head] * value;
        }
      }
    }
  }
}

}  // namespace bigmodel::ops
