// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/value_statistics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/element_values.h"
#include "bigmodel/io/sha256.h"

namespace bigmodel {
namespace {

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> out(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

std::vector<double> values_of(DType dtype, const std::vector<std::byte>& bytes) {
  std::vector<double> out(elements_in(dtype, bytes.size()));
  element_values(dtype, bytes, out);
  return out;
}

/// Every bit pattern of a dtype of at most 16 bits.
std::vector<std::byte> all_patterns(DType dtype) {
  std::vector<std::uint8_t> narrow;
  std::vector<std::uint16_t> wide;
  for (unsigned i = 0; i < 256; ++i) narrow.push_back(static_cast<std::uint8_t>(i));
  for (unsigned i = 0; i < 65536; ++i) wide.push_back(static_cast<std::uint16_t>(i));
  return bit_size(dtype) == 8 ? bytes_of(narrow) : bytes_of(wide);
}

template <class T>
ValueStatistics statistics_of(DType dtype, const std::vector<T>& values) {
  StatisticsGatherer gatherer;
  gatherer.add(dtype, bytes_of(values));
  return gatherer.result();
}

}  // namespace

TEST_SUITE("checkpoint/value_statistics") {
  TEST_CASE("every pattern of the small floats is what torch reads") {
    // torch 2.15.0: all patterns to float64, places of NaN set to zero, sha256 of the doubles.
    struct Row {
      DType dtype;
      int nan_count;
      std::string_view sha256;
    };
    constexpr Row kRows[] = {
        {DType::float16, 2046, "62dd074b90fef6531d8f6d66a4bb7b109b3e67f4c35521b7d520918eddd6cd97"},
        {DType::bfloat16, 254, "cdd6cd28c2627258961a5a1133ec750921bec23e583457712d58d9ecdd1a778b"},
        {DType::float8_e4m3fn, 2, "e98d42e6b02e4149a280aabb1cee98972c74fec84cf16f463ee19ce79fca9bcc"},
        {DType::float8_e5m2, 6, "5930221c7ec052a06add278c59d3e4b050cbb344ad0d7a08f4c3ea2a691af27f"},
        {DType::float8_e4m3fnuz, 1, "42a574de2248c0b16be30c6419e2302b61e8521f0a13b1ac6556d0e98fa9cae3"},
        {DType::float8_e5m2fnuz, 1, "ac895718c110395374682d8c3b575559cb0dc65f16450b02949169127ca32e2e"},
        {DType::float8_e8m0fnu, 1, "4b506fbd5b8dc01c591de9038ba3e191c2350bcebd4d4d6ffe46d2154745c0af"},
    };
    for (const Row& row : kRows) {
      CAPTURE(name(row.dtype));
      std::vector<double> values = values_of(row.dtype, all_patterns(row.dtype));
      int nan_count = 0;
      for (double& value : values) {
        if (!std::isnan(value)) continue;
        ++nan_count;
        value = 0;
      }
      CHECK(nan_count == row.nan_count);
      CHECK(sha256_hex(std::as_bytes(std::span(values))) == row.sha256);
    }
  }

  TEST_CASE("elements of less than a byte fill it from below") {
    using Doubles = std::vector<double>;
    // The OCP table of e2m1: 0 0.5 1 1.5 2 3 4 6.
    CHECK(values_of(DType::float4, bytes_of(std::vector<std::uint8_t>{0x10, 0x32, 0x54, 0x76, 0xf8})) == Doubles{0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -6});
    // Four in three bytes: smallest and largest of either format, one, minus two.
    const auto six = [](unsigned a, unsigned b, unsigned c, unsigned d) {
      const unsigned bits = a | b << 6 | c << 12 | d << 18;
      return bytes_of(std::vector<std::uint8_t>{static_cast<std::uint8_t>(bits), static_cast<std::uint8_t>(bits >> 8), static_cast<std::uint8_t>(bits >> 16)});
    };
    CHECK(values_of(DType::float6_e2m3, six(0x01, 0x1f, 0x08, 0x30)) == Doubles{0.125, 7.5, 1, -2});
    CHECK(values_of(DType::float6_e3m2, six(0x01, 0x1f, 0x0c, 0x30)) == Doubles{0.0625, 28, 1, -2});
    CHECK(values_of(DType::int4, bytes_of(std::vector<std::uint8_t>{0x87})) == Doubles{7, -8});
    CHECK(values_of(DType::int2, bytes_of(std::vector<std::uint8_t>{0xe4})) == Doubles{0, 1, -2, -1});
  }

  TEST_CASE("whole numbers and booleans") {
    const ValueStatistics whole = statistics_of<std::int64_t>(DType::int64, {-5, 0, 0, 9});
    CHECK(whole.min == -5);
    CHECK(whole.max == 9);
    CHECK(whole.mean == 1);
    CHECK(whole.zero_count == 2);
    CHECK(statistics_of<std::uint64_t>(DType::uint64, {~std::uint64_t{0}}).max == 0x1p64);
    CHECK(statistics_of<std::uint8_t>(DType::boolean, {0, 1, 7, 1}).mean == 0.75);
  }

  TEST_CASE("NaN and infinite values do not count, and nothing is said of nothing") {
    const float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const ValueStatistics mixed = statistics_of<float>(DType::float32, {nan, 2, -inf, 4, inf});
    CHECK(mixed.min == 2);
    CHECK(mixed.max == 4);
    CHECK(mixed.mean == 3);
    CHECK(mixed.standard_deviation == 1);
    for (const auto& values : {std::vector<float>{}, std::vector<float>{nan, inf}}) CHECK_FALSE(statistics_of(DType::float32, values).min);
    const ValueStatistics huge = statistics_of<double>(DType::float64, {1e308, 1e308, -1e308});
    CHECK(huge.max == 1e308);
    CHECK_FALSE(huge.standard_deviation);
  }

  TEST_CASE("a long tensor with a large mean keeps its small spread, however it is cut into chunks") {
    std::vector<double> values;
    for (int i = 0; i < 100'000; ++i) values.push_back(1e9 + (i % 2 == 0 ? 1 : -1));
    for (const std::size_t chunk : {std::size_t{100'000}, std::size_t{777}, std::size_t{1}}) {
      StatisticsGatherer gatherer;
      const std::vector<std::byte> bytes = bytes_of(values);
      for (std::size_t at = 0; at < bytes.size(); at += chunk * 8) gatherer.add(DType::float64, std::span(bytes).subspan(at, std::min(chunk * 8, bytes.size() - at)));
      const ValueStatistics result = gatherer.result();
      CHECK(*result.mean == doctest::Approx(1e9).epsilon(1e-15));
      CHECK(*result.standard_deviation == doctest::Approx(1).epsilon(1e-9));
    }
  }
}

}  // namespace bigmodel
