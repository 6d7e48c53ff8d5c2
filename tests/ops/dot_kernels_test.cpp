// SPDX-License-Identifier: Apache-2.0
// Every instruction set that this processor has against sums in double.
#include "bigmodel/ops/dot_kernels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "bigmodel/ops/widen.h"

using namespace bigmodel;
using namespace bigmodel::ops;

namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

std::vector<std::uint16_t> as_bf16(const std::vector<float>& x) {
  std::vector<std::uint16_t> out(x.size());
  portable_dot_kernels().round_to_bf16(x.data(), out.data(), static_cast<std::int64_t>(x.size()));
  return out;
}

}  // namespace

TEST_SUITE("ops/dot_kernels") {
  TEST_CASE("tiles of every size and length") {
    for (const CpuIsa isa : usable_cpu_isas()) {
      CAPTURE(to_string(isa));
      const DotKernels& kernels = dot_kernels(isa);
      for (const std::int64_t k : {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 257}) {
        const std::vector<float> x = random_floats(static_cast<std::size_t>(kernels.tile_rows * k), 1);
        const std::vector<float> wide = random_floats(static_cast<std::size_t>(kernels.tile_outs * k), 2);
        const std::vector<std::uint16_t> narrow = as_bf16(wide);
        const std::vector<std::uint16_t> narrow_x = as_bf16(x);
        const TensorView bf16{DType::bfloat16, {kernels.tile_outs, k}, reinterpret_cast<const std::byte*>(narrow.data())};
        const TensorView f16{DType::float16, {kernels.tile_outs, k}, reinterpret_cast<const std::byte*>(narrow.data())};
        for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
          for (const bool pairs : {false, true}) {
            if (pairs && (kernels.bf16_pairs == nullptr || dtype != DType::bfloat16)) continue;
            std::vector<float> w = wide;
            // The bits of bfloat16 values as halves are some numbers as well; those above 2^15 would be infinite or NaN.
            if (dtype != DType::float32) widen(dtype == DType::bfloat16 ? bf16 : f16, 0, kernels.tile_outs * k, w.data());
            std::vector<float> a = x;
            if (pairs) widen({DType::bfloat16, {kernels.tile_rows * k}, reinterpret_cast<const std::byte*>(narrow_x.data())}, 0, kernels.tile_rows * k, a.data());
            const std::byte* bytes = dtype == DType::float32 ? reinterpret_cast<const std::byte*>(wide.data()) : bf16.data;
            const DotTile tile = pairs ? kernels.bf16_pairs : kernels.of(dtype);
            for (std::int64_t rows = 1; rows <= kernels.tile_rows; ++rows) {
              for (std::int64_t outs = 1; outs <= kernels.tile_outs; ++outs) {
                std::vector<float> y(static_cast<std::size_t>(rows * outs), -1.0F);
                tile(pairs ? static_cast<const void*>(narrow_x.data()) : x.data(), k, rows, bytes, byte_count(dtype, k), outs, k, y.data(), outs);
                for (std::int64_t r = 0; r < rows; ++r) {
                  for (std::int64_t o = 0; o < outs; ++o) {
                    double want = 0, size = 1e-30;
                    for (std::int64_t i = 0; i < k; ++i) {
                      const double term = static_cast<double>(a[static_cast<std::size_t>(r * k + i)]) * w[static_cast<std::size_t>(o * k + i)];
                      want += term;
                      size += std::abs(term);
                    }
                    CHECK(std::abs(y[static_cast<std::size_t>(r * outs + o)] - want) <= 1e-6 * size);
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  TEST_CASE("one row of activations takes any number of outputs, with the bits that a tile gives") {
    const std::int64_t k = 75, outs = 23;
    for (const CpuIsa isa : usable_cpu_isas()) {
      CAPTURE(to_string(isa));
      const DotKernels& kernels = dot_kernels(isa);
      const std::vector<float> x = random_floats(static_cast<std::size_t>(2 * k), 1);
      const std::vector<float> wide = random_floats(static_cast<std::size_t>(outs * k), 2);
      const std::vector<std::uint16_t> narrow = as_bf16(wide), narrow_x = as_bf16(x);
      for (int which = 0; which < 3; ++which) {
        const bool pairs = which == 2;
        const DotTile tile = pairs ? kernels.bf16_pairs : which == 1 ? kernels.bf16 : kernels.f32;
        if (tile == nullptr) continue;
        const void* a = pairs ? static_cast<const void*>(narrow_x.data()) : x.data();
        const auto* w = which == 0 ? reinterpret_cast<const std::byte*>(wide.data()) : reinterpret_cast<const std::byte*>(narrow.data());
        const std::int64_t step = which == 0 ? k * 4 : k * 2;
        std::vector<float> alone(static_cast<std::size_t>(outs), -1.0F), beside(static_cast<std::size_t>(2 * outs), -1.0F);
        tile(a, k, 1, w, step, outs, k, alone.data(), outs);
        for (std::int64_t o = 0; o < outs; o += kernels.tile_outs) tile(a, k, 2, w + o * step, step, std::min(kernels.tile_outs, outs - o), k, beside.data() + o, outs);
        for (std::size_t o = 0; o < alone.size(); ++o) CHECK(alone[o] == beside[o]);
      }
    }
  }

  TEST_CASE("exponentials, silu and sums of values") {
    const float never = -std::numeric_limits<float>::infinity();
    for (const CpuIsa isa : usable_cpu_isas()) {
      CAPTURE(to_string(isa));
      const DotKernels& kernels = dot_kernels(isa);
      for (const std::int64_t count : {1, 5, 16, 33, 200}) {
        std::vector<float> x(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = -static_cast<float>(i) * 0.731F;
        if (count > 3) x[3] = never;
        const std::vector<float> was = x;
        const float sum = kernels.exp_and_sum(x.data(), count, 0.25F);
        double want_sum = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double want = std::exp(static_cast<double>(was[i] - 0.25F));
          want_sum += want;
          CHECK(std::abs(x[i] - want) <= 2e-7 * want + 1e-44);
        }
        if (count > 3) CHECK(x[3] == 0.0F);
        CHECK(sum == doctest::Approx(want_sum).epsilon(1e-6));

        std::vector<float> s = random_floats(static_cast<std::size_t>(count), 3);
        for (float& v : s) v *= 20.0F;
        const std::vector<float> before = s;
        kernels.silu(s.data(), count);
        for (std::size_t i = 0; i < s.size(); ++i) {
          const double v = before[i];
          CHECK(std::abs(s[i] - v / (1 + std::exp(-v))) <= 3e-7 * std::abs(v));
        }
        const std::int64_t width = 70;
        const std::vector<float> weights = random_floats(static_cast<std::size_t>(count), 4);
        const std::vector<float> rows = random_floats(static_cast<std::size_t>(count * width), 5);
        std::vector<float> out(static_cast<std::size_t>(width), 9.0F);
        kernels.weighted_sum(weights.data(), count, rows.data(), width, out.data());
        for (std::int64_t d = 0; d < width; ++d) {
          double want = 0;
          for (std::int64_t j = 0; j < count; ++j) want += static_cast<double>(weights[static_cast<std::size_t>(j)]) * rows[static_cast<std::size_t>(j * width + d)];
          CHECK(out[static_cast<std::size_t>(d)] == doctest::Approx(want).epsilon(1e-4));
        }
      }
      float nan = std::numeric_limits<float>::quiet_NaN();
      kernels.silu(&nan, 1);
      CHECK(std::isnan(nan));
    }
  }

  TEST_CASE("rounding to bfloat16 is to nearest even everywhere") {
    std::vector<float> x = random_floats(1000, 6);
    x.insert(x.end(), {0.0F, -0.0F, 1.00390625F, 1.01171875F, 3.4e38F, std::numeric_limits<float>::infinity()});
    const std::vector<std::uint16_t> want = as_bf16(x);
    for (const CpuIsa isa : usable_cpu_isas()) {
      std::vector<std::uint16_t> have(x.size());
      dot_kernels(isa).round_to_bf16(x.data(), have.data(), static_cast<std::int64_t>(x.size()));
      CHECK(have == want);
    }
  }
}
