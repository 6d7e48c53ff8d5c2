// SPDX-License-Identifier: Apache-2.0
// Element by element operations, moves and rotary embedding of KernelOps in the emulator against plain loops and the CPU's functions.
#include "ops/cuda_values.h"
// The emulator's words come first.
#include <doctest/doctest.h>

#include <limits>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/activation.h"
#include "bigmodel/ops/rope.h"

using namespace bigmodel;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;
using test::kStoredDTypes;
using test::random_floats;
using test::StoredTensor;

namespace {

constexpr std::int64_t kSizes[] = {1, 3, 31, 33, 257, 1000};

struct Fixture {
  explicit Fixture(unsigned order = 1) : device({.order = order}), ops(device, EmulatorLauncher(device)) {}
  EmulatedAccelerator device;
  ops::KernelOps<EmulatorLauncher> ops;
};

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

TEST_SUITE("ops/cuda_elementwise") {
  TEST_CASE("activations are the CPU's, alone and times something, in strides") {
    const Fixture f;
    for (int a = 0; a <= static_cast<int>(ops::Activation::laplace); ++a) {
      const auto act = static_cast<ops::Activation>(a);
      CAPTURE(a);
      std::vector<float> x = random_floats(257, 1);
      x[0] = 30, x[1] = -30, x[2] = 0, x[3] = std::numeric_limits<float>::infinity();
      const DeviceArray<float> dx(f.device, std::span<const float>(x));
      f.ops.activate(act, dx.data(), 257);
      const std::vector<float> got = dx.read();
      for (std::int64_t i = 0; i < 257; ++i) {
        const float want = ops::activate(act, x[at(i)]);
        CHECK((got[at(i)] == want || (want != want && got[at(i)] != got[at(i)])));
      }
      const DeviceArray<float> gate(f.device, std::span<const float>(x)), times(f.device, std::span<const float>(random_floats(60, 2))), y(f.device, std::span<const float>(random_floats(60, 3)));
      const std::vector<float> before = y.read(), by = times.read();
      f.ops.activate_times(act, gate.data() + 5, 12, times.data(), 9, 5, 7, y.data(), 8);
      const std::vector<float> product = y.read();
      for (std::int64_t r = 0; r < 5; ++r) {
        for (std::int64_t c = 0; c < 7; ++c) CHECK(product[at(r * 8 + c)] == ops::activate(act, x[at(5 + r * 12 + c)]) * by[at(r * 9 + c)]);
        CHECK(product[at(r * 8 + 7)] == before[at(r * 8 + 7)]);
      }
    }
  }

  TEST_CASE("arithmetic of arrays, rows and columns") {
    const Fixture f;
    for (const std::int64_t count : kSizes) {
      const std::vector<float> a = random_floats(count, 1), b = random_floats(count, 2);
      const DeviceArray<float> db(f.device, std::span<const float>(b));
      const auto check = [&](auto run, auto want) {
        const DeviceArray<float> da(f.device, std::span<const float>(a));
        run(da.data());
        const std::vector<float> got = da.read();
        for (std::int64_t i = 0; i < count; ++i) CHECK(got[at(i)] == want(a[at(i)], b[at(i)]));
      };
      check([&](float* x) { f.ops.add_scaled(x, db.data(), 0.3F, count); }, [](float x, float y) { return std::fma(0.3F, y, x); });
      check([&](float* x) { f.ops.multiply(x, db.data(), count); }, [](float x, float y) { return x * y; });
      check([&](float* x) { f.ops.scale(x, 0.7F, count); }, [](float x, float) { return 0.7F * x; });
      check([&](float* x) { f.ops.clamp(x, 0.5F, count); }, [](float x, float) { return std::clamp(x, -0.5F, 0.5F); });
      check([&](float* x) { f.ops.soft_cap(x, 2, count); }, [](float x, float) { return 2 * std::tanh(x / 2); });
      check([&](float* x) { f.ops.fill(x, 4, count); }, [](float, float) { return 4.0F; });
    }
    for (const DType dtype : kStoredDTypes) {
      const std::int64_t rows = 5, width = 64;
      const std::vector<float> a = random_floats(rows * width, 1), by = random_floats(rows, 3);
      const StoredTensor columns(f.device, dtype, {width}, 2);
      const DeviceArray<float> x(f.device, std::span<const float>(a)), z(f.device, std::span<const float>(a)), of_rows(f.device, std::span<const float>(by));
      f.ops.scale_columns(x.data(), rows, width, columns.view);
      f.ops.scale_rows(z.data(), rows, width, of_rows.data());
      const std::vector<float> got = x.read(), scaled = z.read();
      for (std::int64_t i = 0; i < rows * width; ++i) {
        CHECK(got[at(i)] == a[at(i)] * columns.values[at(i % width)]);
        CHECK(scaled[at(i)] == a[at(i)] * by[at(i / width)]);
      }
    }
  }

  TEST_CASE("copies of any strides, aligned or not") {
    const Fixture f;
    const std::vector<float> from = random_floats(4000, 1);
    const DeviceArray<float> source(f.device, std::span<const float>(from));
    for (const std::size_t shift : {0, 1}) {
      for (const std::int64_t width : {8, 7}) {
        const ops::CopyShape s{2, 3, 4, width, 1200, 100, 24, 12 * width, width, 3 * width};
        const DeviceArray<float> to(f.device, static_cast<std::size_t>(24 * width));
        f.ops.copy(source.data() + shift, to.data(), s);
        const std::vector<float> got = to.read();
        for (std::int64_t i = 0; i < 2; ++i) {
          for (std::int64_t j = 0; j < 3; ++j) {
            for (std::int64_t k = 0; k < 4; ++k) {
              for (std::int64_t c = 0; c < width; ++c) {
                CHECK(got[at(i * s.to_outer + j * s.to_middle + k * s.to_inner + c)] == from[shift + at(i * s.from_outer + j * s.from_middle + k * s.from_inner + c)]);
              }
            }
          }
        }
      }
    }
  }

  TEST_CASE("rows are gathered, cleared, looked up and widened") {
    const Fixture f;
    const std::vector<std::int64_t> ids = {3, 0, 6, 6};
    const DeviceArray<std::int64_t> dids(f.device, std::span<const std::int64_t>(ids));
    for (const std::int64_t width : {1, 33, 64}) {
      const std::vector<float> from = random_floats(7 * width, 1);
      const DeviceArray<float> source(f.device, std::span<const float>(from)), to(f.device, static_cast<std::size_t>(4 * width));
      f.ops.gather_rows(source.data(), dids.data(), 4, width, to.data());
      const std::vector<float> got = to.read();
      for (std::int64_t i = 0; i < 4 * width; ++i) CHECK(got[at(i)] == from[at(ids[at(i / width)] * width + i % width)]);
      const std::vector<std::uint8_t> valid = {1, 0, 7, 0};
      const DeviceArray<std::uint8_t> dvalid(f.device, std::span<const std::uint8_t>(valid));
      f.ops.clear_rows(to.data(), dvalid.data(), 4, width);
      const std::vector<float> cleared = to.read();
      for (std::int64_t i = 0; i < 4 * width; ++i) CHECK(cleared[at(i)] == (valid[at(i / width)] != 0 ? got[at(i)] : 0.0F));
    }
    for (const DType dtype : kStoredDTypes) {
      for (const std::size_t offset : {0, 1, 2}) {
        const StoredTensor table(f.device, dtype, {7, 96}, 2, offset);
        const DeviceArray<float> y(f.device, 4 * 96), wide(f.device, 7 * 96);
        f.ops.embedding(table.view, dids.data(), 4, y.data());
        const std::vector<float> got = y.read();
        for (std::int64_t i = 0; i < 4 * 96; ++i) CHECK(got[at(i)] == table.values[at(ids[at(i / 96)] * 96 + i % 96)]);
        f.ops.widen(table.view, wide.data());
        CHECK(wide.read() == table.values);
      }
    }
    const DeviceArray<float> x(f.device, 8);
    CHECK_THROWS_AS(f.ops.widen({DType::int8, {8}, reinterpret_cast<const std::byte*>(x.data())}, x.data()), UnsupportedError);
  }

  TEST_CASE("the first of the largest is chosen, as std::max_element does") {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
    for (const unsigned order : {0U, 1U, 2U}) {
      const Fixture f(order);
      for (const std::int64_t width : {1, 5, 33, 1000, 5000}) {
        std::vector<float> x = random_floats(6 * width, 1);
        for (std::int64_t i = 0; i < width; ++i) {
          x[at(width + i)] = 1;
          x[at(2 * width + i)] = -kInfinity;
          if (i % 3 == 1) x[at(3 * width + i)] = kNan;
          x[at(5 * width + i)] = i == width / 2 || i == width - 1 ? 9.0F : 0.0F;
        }
        x[at(4 * width)] = kNan;
        const DeviceArray<float> dx(f.device, std::span<const float>(x));
        const DeviceArray<std::int64_t> ids(f.device, 6);
        f.ops.argmax(dx.data(), 6, width, ids.data());
        for (std::int64_t r = 0; r < 6; ++r) CHECK(ids.read()[at(r)] == std::max_element(x.begin() + r * width, x.begin() + (r + 1) * width) - (x.begin() + r * width));
      }
    }
  }

  TEST_CASE("counters advance") {
    const Fixture f;
    const std::vector<std::int64_t> start = {5, -1, 1LL << 40};
    const DeviceArray<std::int64_t> counters(f.device, std::span<const std::int64_t>(start));
    f.ops.advance(counters.data(), 3, 4);
    CHECK(counters.read() == std::vector<std::int64_t>{9, 3, (1LL << 40) + 4});
  }

  TEST_CASE("heads turn as on the CPU, in both pairings, in part and by positions of the device") {
    const Fixture f;
    for (const ops::RopePairing pairing : {ops::RopePairing::half, ops::RopePairing::interleaved}) {
      for (const std::int64_t pairs : {std::int64_t{1}, std::int64_t{6}, std::int64_t{16}}) {
        const std::int64_t rows = 5, heads = 3, dim = 33;
        std::vector<float> x = random_floats(rows * heads * dim, 1), inv_freq;
        for (std::int64_t i = 0; i < pairs; ++i) inv_freq.push_back(std::pow(10000.0F, -static_cast<float>(i) / static_cast<float>(pairs)));
        const std::vector<std::int64_t> positions = {0, 1, 17, 4095, 131071};
        const DeviceArray<float> dx(f.device, std::span<const float>(x)), freq(f.device, std::span<const float>(inv_freq));
        const DeviceArray<std::int64_t> there(f.device, std::span<const std::int64_t>(positions));
        f.ops.rope(dx.data(), rows, heads, dim, {there.data(), freq.data(), pairs, 1.1F, pairing});
        ops::rope(x.data(), rows, heads, dim, positions, inv_freq, 1.1F, pairing);
        const std::vector<float> got = dx.read();
        // Two products and a sum of magnitudes up to 1.1 * 4 each.
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - x[i]) <= 2e-6F);
      }
    }
  }
}
