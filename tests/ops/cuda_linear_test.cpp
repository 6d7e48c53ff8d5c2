// SPDX-License-Identifier: Apache-2.0
// Matrix products of KernelOps in the emulator against plain loops in double precision. Tolerances: a float32 sum of n products in any order is within
// (n + 4) * 2^-24 of the exact one, relative to the sum of the magnitudes; a factor of 2 covers the epilogue. Rounded factors add 2^-9 each.
#include "ops/cuda_values.h"
// The emulator's words come first.
#include <doctest/doctest.h>

#include <map>

#include "bigmodel/ops/cuda/launch_shapes.h"

#include "bigmodel/core/error.h"

using namespace bigmodel;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;
using test::kStoredDTypes;
using test::random_floats;
using test::StoredTensor;

namespace {

struct Wanted {
  std::vector<double> value, magnitude;
};

/// x [rows, in], w(o, i) by a function.
template <class W>
Wanted product(const std::vector<float>& x, std::int64_t rows, std::int64_t in, std::int64_t out, const float* bias, W w) {
  Wanted wanted;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = bias == nullptr ? 0 : bias[o], magnitude = std::abs(sum);
      for (std::int64_t i = 0; i < in; ++i) {
        const double term = static_cast<double>(x[static_cast<std::size_t>(r * in + i)]) * static_cast<double>(w(o, i));
        sum += term;
        magnitude += std::abs(term);
      }
      wanted.value.push_back(sum);
      wanted.magnitude.push_back(magnitude);
    }
  }
  return wanted;
}

/// The most that any value is off, in units of what is allowed.
double worst(const std::vector<float>& got, const Wanted& wanted, std::int64_t in, double more = 0) {
  double most = 0;
  REQUIRE(got.size() == wanted.value.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double allowed = wanted.magnitude[i] * (2.0 * static_cast<double>(in + 4) * 0x1p-24 + more) + 1e-30;
    const double off = std::abs(static_cast<double>(got[i]) - wanted.value[i]) / allowed;
    if (!(off <= most)) most = off;
  }
  return most;
}

/// A library for many rows: loops, on the memory of the device, as a launch.
class LoopProduct : public ops::MatrixProduct {
 public:
  LoopProduct(const EmulatedAccelerator& device, bool refuses) : device_(device), refuses_(refuses) {}
  bool multiply(const std::byte* x, const std::byte* w, DType dtype, std::int64_t rows, std::int64_t out, std::int64_t in, float alpha, float beta, float* y) const override {
    if (refuses_) return false;
    ++calls[dtype];
    device_.launch({.threads = 1}, [=] {
      const auto at = [&](const std::byte* from, std::int64_t i) {
        float v;
        ops::widen({dtype, {i + 1}, from}, i, 1, &v);
        return v;
      };
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t o = 0; o < out; ++o) {
          double sum = 0;
          for (std::int64_t i = 0; i < in; ++i) sum += static_cast<double>(at(x, r * in + i)) * static_cast<double>(at(w, o * in + i));
          float& to = y[r * out + o];
          to = static_cast<float>(sum) * alpha + (beta == 0 ? 0.0F : beta * to);
        }
      }
    });
    return true;
  }
  mutable std::map<DType, int> calls;

 private:
  const EmulatedAccelerator& device_;
  bool refuses_;
};

struct Case {
  std::int64_t rows, in, out;
  std::size_t offset_bytes = 0;   ///< of the weight
  std::size_t x_offset_bytes = 0;
};

double linear_off(const EmulatedAccelerator& device, const ops::MatrixProduct* products, DType dtype, const Case& c, bool ends, bool bf16 = false, bool biased = true) {
  const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device), products);
  const std::vector<float> x = random_floats(c.rows * c.in, 1);
  const StoredTensor w(device, dtype, {c.out, c.in}, 2, c.offset_bytes), bias(device, DType::float16, {c.out}, 3);
  const DeviceArray<float> dx(device, std::span<const float>(x), c.x_offset_bytes), y(device, static_cast<std::size_t>(c.rows * c.out));
  const std::vector<float> before = random_floats(c.rows * c.out, 4);
  ops::LinearEnd end{.bf16_products = bf16};
  if (ends) {
    device.copy_in(reinterpret_cast<std::byte*>(y.data()), std::as_bytes(std::span(before)));
    end.residual = y.data();
    end.scale = 0.5F;
  }
  ops.linear(dx.data(), c.rows, w.view, ends && biased ? &bias.view : nullptr, y.data(), end);
  Wanted wanted = product(x, c.rows, c.in, c.out, ends && biased ? bias.values.data() : nullptr, [&](std::int64_t o, std::int64_t i) { return w.values[static_cast<std::size_t>(o * c.in + i)]; });
  if (ends) {
    for (std::size_t i = 0; i < before.size(); ++i) {
      wanted.value[i] = static_cast<double>(before[i]) + 0.5 * wanted.value[i];
      wanted.magnitude[i] += std::abs(static_cast<double>(before[i]));
    }
  }
  return worst(y.read(), wanted, c.in, bf16 && dtype == DType::bfloat16 && c.rows > 8 ? 0x1p-8 : 0);
}

}  // namespace

TEST_SUITE("ops/cuda_linear") {
  TEST_CASE("few rows of any size and dtype, at any address, in two orders of lanes") {
    for (const unsigned order : {0U, 1U}) {
      const EmulatedAccelerator device({.order = order});
      for (const DType dtype : kStoredDTypes) {
        const bool blocks = block_size(dtype) > 1;
        for (const std::int64_t size : {1, 3, 31, 33, 127, 257, 520}) {
          const std::int64_t in = blocks ? (size + 31) / 32 * 32 : size;
          for (const std::int64_t rows : {1, 2, 3, 5, 8}) {
            if (size > 130 && rows != 1 && rows != 5) continue;
            for (const std::size_t offset : {std::size_t{0}, std::size_t{2}}) {
              CAPTURE(name(dtype));
              CAPTURE(in);
              CAPTURE(rows);
              CHECK(linear_off(device, nullptr, dtype, {rows, in, size == 520 ? 5 : 7 + size % 4, offset}, rows % 2 == 1) <= 1);
            }
          }
        }
      }
      CHECK(linear_off(device, nullptr, DType::bfloat16, {2, 64, 3, 0, 4}, true) <= 1);
      CHECK(linear_off(device, nullptr, DType::bfloat16, {9, 64, 3, 0, 4}, true) <= 1);
      CHECK(linear_off(device, nullptr, DType::bfloat16, {1, 64, 3, 1}, true) <= 1);
      CHECK(linear_off(device, nullptr, DType::q8_0, {1, 64, 3, 1}, true) <= 1);
    }
  }

  TEST_CASE("warps share the outputs of small matrices") {
    for (const unsigned order : {0U, 1U, 2U}) {
      const EmulatedAccelerator device({.order = order});
      for (const DType dtype : kStoredDTypes) {
        CHECK(linear_off(device, nullptr, dtype, {1, 8192, 3}, true) <= 1);
        CHECK(linear_off(device, nullptr, dtype, {3, 4096 + 32, 5}, true) <= 1);
      }
    }
  }

  TEST_CASE("a row alone and among others gives the same bits") {
    const EmulatedAccelerator device;
    const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    for (const DType dtype : kStoredDTypes) {
      for (const std::int64_t in : {std::int64_t{96}, std::int64_t{1024}}) {
        CAPTURE(name(dtype));
        const std::int64_t out = 9, rows = 8;
        const StoredTensor w(device, dtype, {out, in}, 2);
        const std::vector<float> x = random_floats(rows * in, 1);
        const DeviceArray<float> dx(device, std::span<const float>(x)), all(device, static_cast<std::size_t>(rows * out)), alone(device, static_cast<std::size_t>(out));
        ops.linear(dx.data(), rows, w.view, nullptr, all.data(), {});
        const std::vector<float> together = all.read();
        for (std::int64_t r = 0; r < rows; ++r) {
          ops.linear(dx.data() + r * in, 1, w.view, nullptr, alone.data(), {});
          CHECK(std::memcmp(alone.read().data(), together.data() + r * out, static_cast<std::size_t>(out) * 4) == 0);
          if (r >= 5) continue;
          const DeviceArray<float> some(device, static_cast<std::size_t>(3 * out));
          ops.linear(dx.data() + r * in, 3, w.view, nullptr, some.data(), {});
          CHECK(std::memcmp(some.read().data(), together.data() + r * out, static_cast<std::size_t>(3 * out) * 4) == 0);
        }
      }
    }
  }

  TEST_CASE("matrices of one launch give what they give alone, and mixed ones too") {
    const EmulatedAccelerator device;
    const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const std::int64_t in = 64, rows = 2;
    const std::vector<float> x = random_floats(rows * in, 1);
    const DeviceArray<float> dx(device, std::span<const float>(x));
    for (const DType last : {DType::bfloat16, DType::q4_0}) {
      const StoredTensor q(device, DType::bfloat16, {13, in}, 2), k(device, DType::bfloat16, {5, in}, 3), v(device, last, {6, in}, 4), bias(device, DType::float32, {5}, 5);
      const DeviceArray<float> yq(device, 26), yk(device, 10), yv(device, 12), one(device, 26);
      const ops::LinearPart parts[] = {{q.view, nullptr, yq.data()}, {k.view, &bias.view, yk.data()}, {v.view, nullptr, yv.data()}};
      const std::uint64_t launches = device.counts().launches;
      ops.linear_group(dx.data(), rows, parts, {});
      CHECK(device.counts().launches - launches == (last == DType::bfloat16 ? 1 : 3));
      for (const auto& [part, y] : {std::pair{&parts[0], &yq}, std::pair{&parts[1], &yk}, std::pair{&parts[2], &yv}}) {
        ops.linear(dx.data(), rows, part->weight, part->bias, one.data(), {});
        const std::vector<float> got = y->read(), want = one.read();
        CHECK(std::memcmp(got.data(), want.data(), got.size() * 4) == 0);
      }
    }
  }

  TEST_CASE("gates, ups and their activation are one launch for few rows") {
    for (const unsigned order : {0U, 1U}) {
      const EmulatedAccelerator device({.order = order});
      const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
      for (const DType dtype : {DType::bfloat16, DType::q8_0}) {
        for (const std::int64_t rows : {1, 3, 8, 11}) {
          for (const bool mixed : {false, true}) {
            const std::int64_t in = 96, out = 7;
            const std::vector<float> x = random_floats(rows * in, 1);
            const StoredTensor gate(device, dtype, {out, in}, 2), up(device, mixed ? DType::float32 : dtype, {out, in}, 3), gate_bias(device, DType::float32, {out}, 4);
            const DeviceArray<float> dx(device, std::span<const float>(x)), y(device, std::span<const float>(random_floats(rows * out, 6)));
            const std::vector<float> before = y.read();
            const std::uint64_t launches = device.counts().launches;
            ops.gated_linear(dx.data(), rows, {gate.view, up.view, &gate_bias.view, nullptr, 0.125F}, ops::Activation::silu, y.data(), {.residual = y.data(), .scale = 2});
            if (rows <= 8 && !mixed) CHECK(device.counts().launches - launches == 1);
            const Wanted g = product(x, rows, in, out, gate_bias.values.data(), [&](std::int64_t o, std::int64_t i) { return gate.values[static_cast<std::size_t>(o * in + i)]; });
            const Wanted u = product(x, rows, in, out, nullptr, [&](std::int64_t o, std::int64_t i) { return up.values[static_cast<std::size_t>(o * in + i)]; });
            const std::vector<float> got = y.read();
            for (std::size_t i = 0; i < got.size(); ++i) {
              const double z = g.value[i] / 8, act = z / (1 + std::exp(-z)), unit = static_cast<double>(in + 8) * 0x1p-23;
              // |silu'| is at most 1.1.
              const double allowed = 2 * (1.1 * g.magnitude[i] / 8 * unit * std::abs(u.value[i]) + std::abs(act) * u.magnitude[i] * unit) + std::abs(before[i]) * 1e-6 + 1e-6 * std::abs(act * u.value[i]) + 1e-30;
              CHECK(std::abs(got[i] - (before[i] + 2 * act * u.value[i])) <= allowed);
            }
          }
        }
      }
    }
  }

  TEST_CASE("many rows by tiles: float32 products for every dtype, tensor cores where they are asked for and there") {
    for (const unsigned order : {0U, 1U}) {
      for (const int capability : {75, 90}) {
        const EmulatedAccelerator device({.capability = capability, .order = order});
        for (const DType dtype : kStoredDTypes) {
          CAPTURE(name(dtype));
          CHECK(linear_off(device, nullptr, dtype, {9, 64, 33}, true) <= 1);
          CHECK(linear_off(device, nullptr, dtype, {70, 32, 65}, false, true) <= 1);
        }
        CHECK(linear_off(device, nullptr, DType::bfloat16, {65, 45, 67}, true, true) <= 1);
        CHECK(linear_off(device, nullptr, DType::bfloat16, {9, 45, 67}, true, false) <= 1);
        CHECK(linear_off(device, nullptr, DType::bfloat16, {12, 64, 67, 2}, true, true) <= 1);
      }
    }
  }

  TEST_CASE("many rows by a library, and by tiles where it refuses") {
    for (const bool refuses : {false, true}) {
      const EmulatedAccelerator device;
      const LoopProduct products(device, refuses);
      for (const DType dtype : kStoredDTypes) {
        for (const bool ends : {false, true}) {
          CAPTURE(name(dtype));
          CHECK(linear_off(device, &products, dtype, {9, 64, 33}, ends) <= 1);
          CHECK(linear_off(device, &products, dtype, {9, 64, 33}, ends, true) <= 1);
          CHECK(linear_off(device, &products, dtype, {10, 64, 33}, ends, false, false) <= 1);
        }
      }
      if (!refuses) {
        CHECK(products.calls[DType::bfloat16] == 2);
        CHECK(products.calls[DType::float32] == 28);
      }
    }
  }

  TEST_CASE("a matrix is widened panel by panel where memory is scarce") {
    for (const bool refuses : {false, true}) {
      const EmulatedAccelerator device({.memory_bytes = 1 << 20});
      const LoopProduct products(device, refuses);
      for (const DType dtype : {DType::float16, DType::q8_0}) {
        for (const bool ends : {false, true}) CHECK(linear_off(device, &products, dtype, {9, 64, 150}, ends) <= 1);
      }
      if (!refuses) CHECK(products.calls[DType::float32] == 12);
    }
  }

  TEST_CASE("transposed matrices") {
    for (const unsigned order : {0U, 1U}) {
      const EmulatedAccelerator device({.order = order});
      const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
      for (const DType dtype : kStoredDTypes) {
        for (const std::int64_t rows : {1, 3, 8, 9, 66}) {
          for (const std::int64_t out : {std::int64_t{96}, std::int64_t{block_size(dtype) > 1 ? 32 : 67}}) {
            CAPTURE(name(dtype));
            CAPTURE(rows);
            const std::int64_t in = 37;
            const std::vector<float> x = random_floats(rows * in, 1);
            const StoredTensor w(device, dtype, {in, out}, 2, rows == 3 ? 2 : 0), bias(device, DType::bfloat16, {out}, 3);
            const DeviceArray<float> dx(device, std::span<const float>(x)), y(device, static_cast<std::size_t>(rows * out));
            ops.linear_transposed(dx.data(), rows, w.view, &bias.view, y.data());
            const Wanted wanted = product(x, rows, in, out, bias.values.data(), [&](std::int64_t o, std::int64_t i) { return w.values[static_cast<std::size_t>(i * out + o)]; });
            CHECK(worst(y.read(), wanted, in) <= 1);
          }
        }
      }
    }
  }

  TEST_CASE("what is no weight is refused, and nothing is launched for nothing") {
    const EmulatedAccelerator device;
    const ops::KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const DeviceArray<float> x(device, 64);
    const auto* bytes = reinterpret_cast<const std::byte*>(x.data());
    CHECK_THROWS_AS(ops.linear(x.data(), 1, {DType::int8, {2, 4}, bytes}, nullptr, x.data(), {}), UnsupportedError);
    ops.linear(x.data(), 0, {DType::float32, {2, 4}, bytes}, nullptr, x.data(), {});
    ops.linear(x.data(), 1, {DType::float32, {0, 4}, bytes}, nullptr, x.data(), {});
    CHECK(device.counts().launches == 0);
  }

  TEST_CASE("launch shapes cover everything within what cards take") {
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{255}, std::int64_t{257}, std::int64_t{1} << 33, std::int64_t{1} << 60}) {
      const ops::LaunchShape s = ops::element_shape(count);
      CHECK(s.grid_x >= 1);
      CHECK(s.grid_x <= 65536);
      CHECK((count > 65536 * 256 || static_cast<std::int64_t>(s.grid_x) * s.threads >= count));
      for (const std::int64_t other : {std::int64_t{1}, std::int64_t{63}, std::int64_t{1} << 40}) {
        const ops::LaunchShape tile = ops::tile_shape(count, other, 64, 256);
        CHECK(tile.grid_y >= 1);
        CHECK(tile.grid_y <= 65535);
        CHECK(tile.grid_x >= 1);
        CHECK(tile.grid_x <= 0x7FFFFFFFU);
        const ops::LaunchShape row = ops::row_shape(count, other);
        CHECK(row.threads % 32 == 0);
        CHECK(row.threads >= 32);
        CHECK(row.threads <= 1024);
        CHECK(row.grid_x >= 1);
        CHECK(row.grid_x <= 0x7FFFFFFFU);
      }
    }
    for (const std::int64_t outs : {1, 2, 63, 4096, 151936}) {
      for (const std::int64_t in : {1, 64, 256, 4096, 28672}) {
        for (const int processors : {0, 1, 132}) {
          const int split = ops::gemv_split(outs, in, processors);
          CHECK((split == 1 || split == 2 || split == 4 || split == 8));
          CHECK((split == 1 || in / 8 >= 64 * split));
          const std::int64_t groups = (outs + 1) / 2;
          const ops::LaunchShape s = ops::gemv_shape(groups, split);
          CHECK(static_cast<std::int64_t>(s.grid_x) * (8 / split) >= groups);
          CHECK(static_cast<std::int64_t>(s.grid_x - 1) * (8 / split) < groups);
        }
      }
    }
    CHECK(ops::gemv_split(1024, 4096, 132) > 1);
    CHECK(ops::gemv_split(151936, 4096, 132) == 1);
  }
}
