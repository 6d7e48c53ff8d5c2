// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/linear.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "bigmodel/ops/tile_product.h"
#include "bigmodel/ops/widen.h"

using namespace bigmodel;

namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

/// bfloat16 by cutting; exact enough for made-up weights.
std::vector<std::uint16_t> cut(const std::vector<float>& x) {
  std::vector<std::uint16_t> out;
  for (const float v : x) {
    std::uint32_t bits;
    std::memcpy(&bits, &v, 4);
    out.push_back(static_cast<std::uint16_t>(bits >> 16));
  }
  return out;
}

}  // namespace

TEST_SUITE("ops/linear") {
  TEST_CASE("blocks give, to the bit, what the values that they stand for give") {
    const std::int64_t in = 96, out = 77, rows = 9;
    const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * in), 1);
    std::mt19937 random(2);
    ThreadPool pool(3);
    for (const DType dtype : {DType::q8_0, DType::q4_0}) {
      CAPTURE(name(dtype));
      // Any bytes are blocks; factors of moderate size keep the sums finite.
      std::vector<std::byte> bytes(static_cast<std::size_t>(byte_count(dtype, out * in)));
      for (std::byte& b : bytes) b = static_cast<std::byte>(random());
      for (std::size_t at = 1; at < bytes.size(); at += static_cast<std::size_t>(byte_count(dtype, 32))) bytes[at] = static_cast<std::byte>(0x2Cu | (random() & 0x80u));
      const TensorView w{dtype, {out, in}, bytes.data()};
      std::vector<float> wide(static_cast<std::size_t>(out * in));
      ops::widen(w, 0, out * in, wide.data());
      std::vector<float> part(40);
      ops::widen(w, 50, 40, part.data());
      CHECK(std::memcmp(part.data(), wide.data() + 50, part.size() * 4) == 0);
      const TensorView values{DType::float32, {out, in}, reinterpret_cast<const std::byte*>(wide.data())};
      for (const CpuIsa isa : usable_cpu_isas()) {
        CAPTURE(to_string(isa));
        for (const std::int64_t some : {std::int64_t{1}, std::int64_t{2}, rows}) {
          std::vector<float> got(static_cast<std::size_t>(some * out)), want(got.size());
          ops::linear({&pool, isa, true}, x.data(), some, w, nullptr, got.data());
          ops::linear({nullptr, isa, true}, x.data(), some, values, nullptr, want.data());
          CHECK(std::memcmp(got.data(), want.data(), got.size() * 4) == 0);
        }
      }
    }
  }

  TEST_CASE("a row's result is the same to the bit alone, among others, and on any number of threads") {
    const std::int64_t in = 203, out = 171, rows = 61;
    const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * in), 1);
    const std::vector<float> wide = random_floats(static_cast<std::size_t>(out * in), 2);
    const std::vector<std::uint16_t> narrow = cut(wide);
    const std::vector<float> bias = random_floats(static_cast<std::size_t>(out), 3);
    const TensorView b{DType::float32, {out}, reinterpret_cast<const std::byte*>(bias.data())};
    ThreadPool pool(3);
    for (const CpuIsa isa : usable_cpu_isas()) {
      for (const bool products : {false, true}) {
        for (const DType dtype : {DType::float32, DType::bfloat16}) {
          CAPTURE(to_string(isa));
          CAPTURE(name(dtype));
          const void* data = dtype == DType::float32 ? static_cast<const void*>(wide.data()) : narrow.data();
          const TensorView w{dtype, {out, in}, static_cast<const std::byte*>(data)};
          std::vector<float> all(static_cast<std::size_t>(rows * out)), shared(all.size()), one(static_cast<std::size_t>(out));
          ops::linear({nullptr, isa, products}, x.data(), rows, w, &b, all.data());
          ops::linear({&pool, isa, products}, x.data(), rows, w, &b, shared.data());
          CHECK(std::memcmp(all.data(), shared.data(), all.size() * 4) == 0);
          // Tiles add up in an order of their own, and are taken for many rows only.
          const bool tiles = ops::has_tile_products(isa) && products && dtype == DType::bfloat16;
          for (const std::int64_t r : {0, 17, 60}) {
            ops::linear({nullptr, isa, products}, x.data() + r * in, 1, w, &b, one.data());
            if (!tiles) {
              CHECK(std::memcmp(all.data() + r * out, one.data(), one.size() * 4) == 0);
              continue;
            }
            for (std::int64_t o = 0; o < out; ++o) CHECK(std::abs(all[static_cast<std::size_t>(r * out + o)] - one[static_cast<std::size_t>(o)]) <= 1e-4);
          }
          for (const std::int64_t some : {16, 33, 48}) {
            ops::linear({&pool, isa, products}, x.data(), some, w, &b, shared.data());
            CHECK(std::memcmp(all.data(), shared.data(), static_cast<std::size_t>(some * out) * 4) == 0);
          }
        }
      }
    }
  }

  TEST_CASE("the transposed product is the product of the transposed matrix") {
    const std::int64_t in = 37, out = 300, rows = 3;
    const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * in), 1);
    const std::vector<float> w = random_floats(static_cast<std::size_t>(out * in), 2);
    std::vector<float> turned(w.size());
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = 0; i < in; ++i) turned[static_cast<std::size_t>(i * out + o)] = w[static_cast<std::size_t>(o * in + i)];
    }
    ThreadPool pool(2);
    std::vector<float> want(static_cast<std::size_t>(rows * out)), have(want.size());
    ops::linear({&pool}, x.data(), rows, {DType::float32, {out, in}, reinterpret_cast<const std::byte*>(w.data())}, nullptr, want.data());
    ops::linear_transposed({&pool}, x.data(), rows, {DType::float32, {in, out}, reinterpret_cast<const std::byte*>(turned.data())}, nullptr, have.data());
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(have[i] == doctest::Approx(want[i]).epsilon(1e-4));
  }
}
