// SPDX-License-Identifier: Apache-2.0
// Kernels of causal convolutions and scans, in the emulator, against plain loops in double.
#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/recurrent_shapes.h"
#include "ops/cuda_values.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace bigmodel;
using namespace bigmodel::ops;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;
using test::random_floats;
using test::StoredTensor;

namespace {

using Floats = std::vector<float>;

/// What a kernel left: its output and the state that goes on.
struct Left {
  Floats y, state;
  bool operator==(const Left&) const = default;
};

struct Card {
  explicit Card(unsigned order) : accelerator(with_order(order)) {}
  static test::EmulatedOptions with_order(unsigned order) {
    test::EmulatedOptions out;
    out.order = order;
    return out;
  }
  EmulatedAccelerator accelerator;
  KernelOps<EmulatorLauncher> ops{accelerator, EmulatorLauncher(accelerator)};
};

double at(const Floats& x, std::int64_t i) { return static_cast<double>(x[static_cast<std::size_t>(i)]); }

/// The bound is relative to 1 + the value.
void check_near(const Floats& got, const std::vector<double>& wanted, double bound) {
  REQUIRE(got.size() == wanted.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double off = std::abs(static_cast<double>(got[i]) - wanted[i]) / (1 + std::abs(wanted[i]));
    worst = std::isfinite(got[i]) ? std::max(worst, off) : INFINITY;
  }
  CHECK(worst <= bound);
}

struct ConvCase {
  std::int64_t batch = 2, channels = 130, kernel = 4;
  DType dtype = DType::float32;
  bool bias = true;
};

/// The lengths are calls one after the other, which hand on the tail.
Left run_conv(const ConvCase& c, const std::vector<std::int64_t>& lengths, unsigned order) {
  const Card device(order);
  const StoredTensor weight(device.accelerator, c.dtype, {c.channels, 1, c.kernel}, 1), bias(device.accelerator, c.dtype, {c.channels}, 2);
  const Floats before = random_floats(c.batch * (c.kernel - 1) * c.channels, 3);
  const DeviceArray<float> tail(device.accelerator, std::span(before));
  std::int64_t all = 0;
  for (const std::int64_t length : lengths) all += length;
  const Floats x = random_floats(c.batch * all * c.channels, 4);
  ConvWeights weights{weight.view, c.bias ? &bias.view : nullptr, c.channels, c.kernel};
  Left out;
  out.y.resize(x.size());
  std::int64_t done = 0;
  for (const std::int64_t length : lengths) {
    Floats part;
    for (std::int64_t b = 0; b < c.batch; ++b) part.insert(part.end(), x.begin() + (b * all + done) * c.channels, x.begin() + (b * all + done + length) * c.channels);
    const DeviceArray<float> in(device.accelerator, std::span(std::as_const(part))), y(device.accelerator, part.size());
    device.ops.causal_conv(in.data(), tail.data(), c.batch, length, weights, y.data());
    const Floats got = y.read();
    for (std::int64_t b = 0; b < c.batch; ++b) std::copy_n(got.begin() + b * length * c.channels, length * c.channels, out.y.begin() + (b * all + done) * c.channels);
    done += length;
  }
  out.state = tail.read();

  std::vector<double> wanted;
  Floats tail_wanted;
  const auto input = [&](std::int64_t b, std::int64_t t, std::int64_t ch) {
    return t < 0 ? before[static_cast<std::size_t>((b * (c.kernel - 1) + t + c.kernel - 1) * c.channels + ch)] : x[static_cast<std::size_t>((b * all + t) * c.channels + ch)];
  };
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t t = 0; t < all; ++t) {
      for (std::int64_t ch = 0; ch < c.channels; ++ch) {
        double sum = c.bias ? at(bias.values, ch) : 0;
        for (std::int64_t k = 0; k < c.kernel; ++k) sum += at(weight.values, ch * c.kernel + k) * static_cast<double>(input(b, t - c.kernel + 1 + k, ch));
        wanted.push_back(sum);
      }
    }
    for (std::int64_t t = all - c.kernel + 1; t < all; ++t) {
      for (std::int64_t ch = 0; ch < c.channels; ++ch) tail_wanted.push_back(input(b, t, ch));
    }
  }
  // A few products of numbers up to 4 times 4.
  check_near(out.y, wanted, 16.0 * static_cast<double>(c.kernel) * 0x1p-24);
  CHECK(out.state == tail_wanted);
  return out;
}

double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

Left run_scan(std::int64_t batch, std::int64_t length, std::int64_t inner, std::int64_t states, DType dtype, unsigned order) {
  const Card device(order);
  const auto upload = [&](const Floats& x) { return DeviceArray<float>(device.accelerator, std::span(x)); };
  const std::int64_t rows = batch * length, stride = 2 * inner + 3;
  const Floats h = random_floats(rows * inner, 1), dt = random_floats(rows * inner, 2), b = random_floats(rows * states, 3), c = random_floats(rows * states, 4);
  const Floats gate = random_floats(rows * stride, 5), before = random_floats(batch * inner * states, 6);
  const StoredTensor a_log(device.accelerator, dtype, {inner, states}, 7), d(device.accelerator, dtype, {inner}, 8);
  const DeviceArray<float> of_h = upload(h), of_dt = upload(dt), of_b = upload(b), of_c = upload(c), of_gate = upload(gate), state = upload(before);
  const DeviceArray<float> y(device.accelerator, h.size());
  SelectiveScan scan;
  scan.h = of_h.data();
  scan.dt = of_dt.data();
  scan.b = of_b.data();
  scan.c = of_c.data();
  scan.gate = of_gate.data() + inner;
  scan.gate_stride = stride;
  scan.a_log = a_log.view;
  scan.d = d.view;
  scan.state = state.data();
  scan.batch = batch;
  scan.length = length;
  scan.inner = inner;
  scan.states = states;
  device.ops.selective_scan(scan, y.data());

  std::vector<double> wanted, s(before.begin(), before.end());
  for (std::int64_t row = 0; row < batch; ++row) {
    for (std::int64_t t = 0; t < length; ++t) {
      const std::int64_t r = row * length + t;
      for (std::int64_t i = 0; i < inner; ++i) {
        const double step = softplus(at(dt, r * inner + i)), in = at(h, r * inner + i);
        double sum = 0;
        for (std::int64_t n = 0; n < states; ++n) {
          double& kept = s[static_cast<std::size_t>((row * inner + i) * states + n)];
          kept = std::exp(-step * std::exp(at(a_log.values, i * states + n))) * kept + step * at(b, r * states + n) * in;
          sum += kept * at(c, r * states + n);
        }
        const double g = at(gate, r * stride + inner + i);
        wanted.push_back((sum + at(d.values, i) * in) * g / (1 + std::exp(-g)));
      }
    }
  }
  Left out{y.read(), state.read()};
  // Sums of `states` products of numbers up to about 10; what a state is off decays with it.
  const double bound = 100.0 * static_cast<double>(states + 16) * 0x1p-24;
  check_near(out.y, wanted, bound);
  check_near(out.state, s, bound);
  return out;
}

struct Scan2Case {
  std::int64_t batch = 2, length = 1, heads = 4, head_dim = 20, groups = 2, states = 24;
  bool limited = false;
  DType dtype = DType::float32;
};

Left run_scan2(const Scan2Case& c, unsigned order) {
  const Card device(order);
  const auto upload = [&](const Floats& x) { return DeviceArray<float>(device.accelerator, std::span(x)); };
  const std::int64_t rows = c.batch * c.length, inner = c.heads * c.head_dim, width = inner + 2 * c.groups * c.states, stride = c.heads + 5;
  const Floats h = random_floats(rows * width, 1), dt = random_floats(rows * stride, 2), before = random_floats(c.batch * inner * c.states, 3);
  const StoredTensor dt_bias(device.accelerator, c.dtype, {c.heads}, 4), a_log(device.accelerator, c.dtype, {c.heads}, 5), d(device.accelerator, c.dtype, {c.heads}, 6);
  const DeviceArray<float> of_h = upload(h), of_dt = upload(dt), state = upload(before);
  const DeviceArray<float> y(device.accelerator, static_cast<std::size_t>(rows * inner));
  SelectiveScan2 scan;
  scan.h = of_h.data();
  scan.dt = of_dt.data() + 2;
  scan.dt_stride = stride;
  scan.dt_bias = dt_bias.view;
  scan.a_log = a_log.view;
  scan.d = d.view;
  scan.limited = c.limited;
  scan.least_step = 0.5F;
  scan.most_step = 0.8F;
  scan.state = state.data();
  scan.batch = c.batch;
  scan.length = c.length;
  scan.heads = c.heads;
  scan.head_dim = c.head_dim;
  scan.groups = c.groups;
  scan.states = c.states;
  device.ops.selective_scan2(scan, y.data());

  std::vector<double> wanted(static_cast<std::size_t>(rows * inner)), s(before.begin(), before.end());
  for (std::int64_t row = 0; row < c.batch; ++row) {
    for (std::int64_t t = 0; t < c.length; ++t) {
      const std::int64_t r = row * c.length + t;
      for (std::int64_t n = 0; n < c.heads; ++n) {
        double step = softplus(at(dt, r * stride + 2 + n) + at(dt_bias.values, n));
        if (c.limited) step = std::min(std::max(step, static_cast<double>(scan.least_step)), static_cast<double>(scan.most_step));
        const double decay = std::exp(-step * std::exp(at(a_log.values, n)));
        const std::int64_t group = n / (c.heads / c.groups);
        for (std::int64_t p = 0; p < c.head_dim; ++p) {
          const double in = at(h, r * width + n * c.head_dim + p);
          double sum = 0;
          for (std::int64_t k = 0; k < c.states; ++k) {
            double& kept = s[static_cast<std::size_t>(((row * c.heads + n) * c.head_dim + p) * c.states + k)];
            kept = decay * kept + step * in * at(h, r * width + inner + group * c.states + k);
            sum += kept * at(h, r * width + inner + (c.groups + group) * c.states + k);
          }
          wanted[static_cast<std::size_t>(r * inner + n * c.head_dim + p)] = sum + at(d.values, n) * in;
        }
      }
    }
  }
  Left out{y.read(), state.read()};
  const double bound = 100.0 * static_cast<double>(c.states + 16) * 0x1p-24;
  check_near(out.y, wanted, bound);
  check_near(out.state, s, bound);
  return out;
}

}  // namespace

TEST_SUITE("ops/cuda/recurrent") {
  TEST_CASE("convolutions: single tokens, long ones, and one behind the other") {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
      for (const std::int64_t kernel : {1, 2, 4, 12}) {
        for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{1}, {3}, {8}, {9}, {21}, {1, 1, 2, 17, 1}}) {
          ConvCase c;
          c.dtype = dtype;
          c.kernel = kernel;
          c.channels = kernel == 4 ? 130 : 5;
          c.bias = kernel != 2;
          const Left wanted = run_conv(c, lengths, 0);
          CHECK(run_conv(c, lengths, 1) == wanted);
        }
      }
    }
  }

  TEST_CASE("Mamba's scan: states of any number, tokens around a piece of shared memory") {
    for (const std::int64_t states : {1, 7, 16, 20, 64, 256}) {
      for (const std::int64_t length : {1, 16, 35}) {
        if (states > 64 && length > 16) continue;
        const Left wanted = run_scan(2, length, 37, states, DType::float32, 0);
        CHECK(run_scan(2, length, 37, states, DType::float32, 1) == wanted);
      }
    }
    run_scan(1, 5, 40, 16, DType::bfloat16, 3);
  }

  TEST_CASE("Mamba 2's scan: heads, groups, states, limited steps") {
    for (const std::int64_t states : {1, 24, 128, 129, 256}) {
      for (const std::int64_t length : {1, 16, 33}) {
        if (states > 128 && length > 16) continue;
        for (const bool limited : {false, true}) {
          Scan2Case c;
          c.states = states;
          c.length = length;
          c.limited = limited;
          const Left wanted = run_scan2(c, 0);
          CHECK(run_scan2(c, 1) == wanted);
        }
      }
    }
    Scan2Case c;
    c.dtype = DType::bfloat16;
    c.groups = 1;
    c.head_dim = 64;
    run_scan2(c, 5);
  }

  TEST_CASE("a scan in pieces is the scan of the whole") {
    Scan2Case whole;
    whole.batch = 1;
    whole.length = 20;
    run_scan2(whole, 0);
    const Card device(0);
    const std::int64_t inner = 8, states = 16;
    const Floats h = random_floats(20 * inner, 1), dt = random_floats(20 * inner, 2), b = random_floats(20 * states, 3), c = random_floats(20 * states, 4);
    const DeviceArray<float> of_h(device.accelerator, std::span(h)), of_dt(device.accelerator, std::span(dt)), of_b(device.accelerator, std::span(b)), of_c(device.accelerator, std::span(c));
    const StoredTensor a_log(device.accelerator, DType::float32, {inner, states}, 7), d(device.accelerator, DType::float32, {inner}, 8);
    const auto run = [&](const std::vector<std::int64_t>& lengths) {
      const Floats zeros(static_cast<std::size_t>(inner * states));
      const DeviceArray<float> state(device.accelerator, std::span(zeros)), y(device.accelerator, h.size());
      std::int64_t done = 0;
      for (const std::int64_t length : lengths) {
        device.ops.selective_scan({of_h.data() + done * inner, of_dt.data() + done * inner, of_b.data() + done * states, of_c.data() + done * states, of_h.data() + done * inner, inner,
                                   a_log.view, d.view, Activation::silu, state.data(), 1, length, inner, states},
                                  y.data() + done * inner);
        done += length;
      }
      return Left{y.read(), state.read()};
    };
    CHECK(run({1, 3, 16}) == run({20}));
  }

  TEST_CASE("what they do not take, and shapes of launches") {
    const Card device(0);
    SelectiveScan scan;
    scan.states = 257;
    CHECK_THROWS_WITH_AS(device.ops.selective_scan(scan, nullptr), "scan: expected at most 256 states, got 257", UnsupportedError);
    SelectiveScan2 scan2;
    scan2.states = 300;
    CHECK_THROWS_WITH_AS(device.ops.selective_scan2(scan2, nullptr), "scan: expected at most 256 states, got 300", UnsupportedError);
    ConvWeights weights;
    weights.weight.dtype = DType::int8;
    CHECK_THROWS_WITH_AS(device.ops.causal_conv(nullptr, nullptr, 1, 1, weights, nullptr), "convolution: expected float32, bfloat16 or float16, got int8", UnsupportedError);
    CHECK(conv_shape(3, 17, 129).grid_x == 2);
    CHECK(conv_shape(3, 17, 129).grid_y == 3);
    scan.states = kMostStates;
    scan.inner = 9;
    CHECK(scan_shape(scan).shared_bytes <= 48 << 10);
    CHECK(scan_shape(scan).grid_x == 3);
    scan2.states = kMostStates;
    scan2.head_dim = 65;
    CHECK(scan2_shape(scan2).shared_bytes <= 48 << 10);
    CHECK(scan2_shape(scan2).grid_x == 5);
  }
}
