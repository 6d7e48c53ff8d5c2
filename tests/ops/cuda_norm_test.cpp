// SPDX-License-Identifier: Apache-2.0
// Norms of KernelOps in the emulator against the CPU's, whose sums are in double precision.
#include "ops/cuda_values.h"
// The emulator's words come first.
#include <doctest/doctest.h>

#include "bigmodel/ops/norm.h"

using namespace bigmodel;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;
using test::random_floats;
using test::StoredTensor;

namespace {

struct Case {
  ops::NormKind kind;
  std::int64_t rows, size, groups;
  DType dtype;
  bool weighted, biased;
  float offset;
};

/// Sums of n terms in float32 are off by n * 2^-24 of the magnitudes at most: of the squares, which moves every value by half of that, and of the mean,
/// whose error counts as one of the values'. Eight roundings more lie on the way.
void compare(const Case& c, const std::vector<float>& x, const ops::NormWeights& weights, const std::vector<float>& got) {
  std::vector<float> want(x.size());
  (c.kind == ops::NormKind::rms ? ops::rms_norm : ops::layer_norm)(x.data(), c.rows, c.size, weights, want.data());
  ops::NormWeights unbiased = weights;
  unbiased.bias = nullptr;
  unbiased.offset = 0;
  unbiased.weight = nullptr;
  std::vector<float> plain(x.size()), wide(static_cast<std::size_t>(c.groups * c.size), 1.0F);
  (c.kind == ops::NormKind::rms ? ops::rms_norm : ops::layer_norm)(x.data(), c.rows, c.size, unbiased, plain.data());
  if (weights.weight != nullptr) ops::widen(*weights.weight, 0, c.groups * c.size, wide.data());
  double most = 0;
  for (std::int64_t r = 0; r < c.rows; ++r) {
    double magnitude = 0, squares = 0, mean = 0;
    for (std::int64_t i = 0; i < c.size; ++i) {
      const double v = x[static_cast<std::size_t>(r * c.size + i)];
      magnitude += std::abs(v) / static_cast<double>(c.size);
      mean += v / static_cast<double>(c.size);
      squares += v * v / static_cast<double>(c.size);
    }
    const double variance = c.kind == ops::NormKind::rms ? squares : squares - mean * mean;
    const double of_mean = c.kind == ops::NormKind::rms ? 0 : magnitude / std::sqrt(std::max(variance, 0.0) + static_cast<double>(weights.eps));
    for (std::int64_t i = 0; i < c.size; ++i) {
      const auto at = static_cast<std::size_t>(r * c.size + i);
      const double w = weights.weight == nullptr ? 1.0 : static_cast<double>(wide[static_cast<std::size_t>(r % c.groups * c.size + i)]) + static_cast<double>(weights.offset);
      const double allowed = (static_cast<double>(c.size) + 8) * 0x1p-24 * (std::abs(static_cast<double>(plain[at])) + of_mean) * std::abs(w) + 2 * 0x1p-24 * std::abs(static_cast<double>(want[at])) + 1e-30;
      const double off = std::abs(static_cast<double>(got[at]) - static_cast<double>(want[at])) / allowed;
      if (!(off <= most)) most = off;
    }
  }
  CHECK(most <= 1);
}

}  // namespace

TEST_SUITE("ops/cuda_norm") {
  TEST_CASE("norms of rows of any size, with weights by group, in place and with what is added before") {
    for (const unsigned order : {0U, 1U, 2U}) {
      const EmulatedAccelerator device({.order = order});
      const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
      for (const Case& c : {Case{ops::NormKind::rms, 1, 1, 1, DType::float32, true, false, 0}, Case{ops::NormKind::rms, 3, 31, 1, DType::bfloat16, true, false, 1},
                            Case{ops::NormKind::layer, 2, 33, 1, DType::float16, true, true, 0}, Case{ops::NormKind::layer, 9, 257, 1, DType::float32, false, false, 0},
                            Case{ops::NormKind::rms, 6, 64, 3, DType::bfloat16, true, false, 0}, Case{ops::NormKind::layer, 4, 127, 2, DType::float32, true, true, 0},
                            Case{ops::NormKind::rms, 2, 4500, 1, DType::float32, true, true, 0}, Case{ops::NormKind::rms, 2, 8200, 1, DType::float16, true, false, 0}, Case{ops::NormKind::layer, 2, 9001, 1, DType::float32, true, true, 0}, Case{ops::NormKind::layer, 1, 4097, 1, DType::bfloat16, true, true, 0}}) {
        CAPTURE(order);
        CAPTURE(c.size);
        const Shape shape = c.groups == 1 ? Shape{c.size} : Shape{c.groups, c.size};
        const StoredTensor w(device, c.dtype, shape, 2), b(device, c.dtype, shape, 3);
        const TensorView wide_w{DType::float32, shape, reinterpret_cast<const std::byte*>(w.values.data())}, wide_b{DType::float32, shape, reinterpret_cast<const std::byte*>(b.values.data())};
        const ops::NormWeights there{c.weighted ? &w.view : nullptr, c.biased ? &b.view : nullptr, 1e-5F, c.offset};
        const ops::NormWeights here{c.weighted ? &wide_w : nullptr, c.biased ? &wide_b : nullptr, 1e-5F, c.offset};
        std::vector<float> x = random_floats(c.rows * c.size, 1);
        for (float& v : x) v += 0.5F;
        const DeviceArray<float> dx(device, std::span<const float>(x)), y(device, x.size());
        ops.norm(c.kind, dx.data(), c.rows, c.size, there, y.data());
        compare(c, x, here, y.read());
        ops.norm(c.kind, dx.data(), c.rows, c.size, there, dx.data());
        CHECK(dx.read() == y.read());

        const std::vector<float> delta = random_floats(c.rows * c.size, 5);
        const DeviceArray<float> again(device, std::span<const float>(x)), dd(device, std::span<const float>(delta)), sum(device, x.size());
        std::vector<float> total(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) total[i] = std::fma(0.25F, delta[i], x[i]);
        ops.add_norm(c.kind, again.data(), dd.data(), 0.25F, c.rows, c.size, there, sum.data(), y.data());
        CHECK(sum.read() == total);
        compare(c, total, here, y.read());
        ops.add_norm(c.kind, again.data(), dd.data(), 0.25F, c.rows, c.size, there, again.data(), y.data());
        CHECK(again.read() == total);
        compare(c, total, here, y.read());
      }
    }
  }

  TEST_CASE("a row is normed the same among others") {
    const EmulatedAccelerator device;
    const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const std::vector<float> x = random_floats(5 * 300, 1);
    const DeviceArray<float> dx(device, std::span<const float>(x)), all(device, x.size()), one(device, 300);
    ops.norm(ops::NormKind::layer, dx.data(), 5, 300, {}, all.data());
    ops.norm(ops::NormKind::layer, dx.data() + 3 * 300, 1, 300, {}, one.data());
    const std::vector<float> got = all.read();
    CHECK(std::vector<float>(got.begin() + 900, got.begin() + 1200) == one.read());
  }
}
