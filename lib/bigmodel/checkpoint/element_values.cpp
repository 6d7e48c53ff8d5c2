// SPDX-License-Identifier: Apache-2.0
// References: IEEE 754; OCP Microscaling Formats 1.0 (e8m0, e2m3, e3m2, e2m1); c10/util/Float8_*fnuz.h for the biases of the fnuz formats.
#include "bigmodel/checkpoint/element_values.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// A float of few bits without special values.
template <int exponent, int mantissa>
double plain_float(std::uint32_t bits, int bias = (1 << (exponent - 1)) - 1) {
  const bool negative = (bits >> (exponent + mantissa) & 1) != 0;
  const std::uint32_t e = bits >> mantissa & ((1U << exponent) - 1);
  const std::uint32_t m = bits & ((1U << mantissa) - 1);
  const double magnitude = e == 0 ? std::ldexp(static_cast<double>(m), 1 - bias - mantissa)
                                  : std::bit_cast<double>((e + 1023 - static_cast<std::uint64_t>(bias)) << 52 | static_cast<std::uint64_t>(m) << (52 - mantissa));
  return negative ? -magnitude : magnitude;
}

/// The same with IEEE's infinities and NaN; a NaN keeps its payload.
template <int exponent, int mantissa>
double ieee_float(std::uint32_t bits) {
  const std::uint32_t e = bits >> mantissa & ((1U << exponent) - 1);
  if (e != (1U << exponent) - 1) return plain_float<exponent, mantissa>(bits);
  const std::uint32_t sign = (bits >> (exponent + mantissa) & 1) << 31;
  return static_cast<double>(std::bit_cast<float>(sign | 0x7f800000U | (bits & ((1U << mantissa) - 1)) << (23 - mantissa)));
}

double not_a_number(bool negative) { return std::copysign(std::numeric_limits<double>::quiet_NaN(), negative ? -1.0 : 1.0); }

double byte_float(DType dtype, std::uint8_t bits) {
  switch (dtype) {
    case DType::float8_e5m2: return ieee_float<5, 2>(bits);
    case DType::float8_e4m3fn: return (bits & 0x7f) == 0x7f ? not_a_number(bits >> 7 != 0) : plain_float<4, 3>(bits);
    case DType::float8_e4m3fnuz: return bits == 0x80 ? not_a_number(false) : plain_float<4, 3>(bits, 8);
    case DType::float8_e5m2fnuz: return bits == 0x80 ? not_a_number(false) : plain_float<5, 2>(bits, 16);
    case DType::float8_e8m0fnu: return bits == 0xff ? not_a_number(false) : std::ldexp(1.0, bits - 127);
    case DType::float4: return plain_float<2, 1>(bits);
    case DType::float6_e2m3: return plain_float<2, 3>(bits);
    case DType::float6_e3m2: return plain_float<3, 2>(bits);
    case DType::uint4: return bits;
    case DType::int2: return bits < 2 ? bits : bits - 4;
    case DType::int4: return bits < 8 ? bits : bits - 16;
    default: break;
  }
  BIGMODEL_ASSERT(false);
  return 0;
}

template <class Stored, class Value>
void each(std::span<const std::byte> in, std::span<double> out, Value value) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, in.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = value(stored);
  }
}

template <class Stored>
void each(std::span<const std::byte> in, std::span<double> out) {
  each<Stored>(in, out, [](Stored stored) { return static_cast<double>(stored); });
}

/// Elements of at most a byte, by way of a table.
void small_values(DType dtype, std::span<const std::byte> in, std::span<double> out) {
  const int bits = bit_size(dtype);
  std::array<double, 256> table{};
  for (std::size_t i = 0; i < std::size_t{1} << bits; ++i) table[i] = byte_float(dtype, static_cast<std::uint8_t>(i));
  if (bits == 8) return each<std::uint8_t>(in, out, [&](std::uint8_t stored) { return table[stored]; });
  std::uint32_t window = 0;
  int held = 0;
  std::size_t at = 0;
  for (double& value : out) {
    if (held < bits) {
      window |= std::to_integer<std::uint32_t>(in[at++]) << held;
      held += 8;
    }
    value = table[window & ((1U << bits) - 1)];
    window >>= bits;
    held -= bits;
  }
}

}  // namespace

bool is_real_number(DType dtype) noexcept { return !is_complex(dtype) && dtype != DType::float4_e2m1fn_x2; }

std::size_t elements_in(DType dtype, std::size_t bytes) noexcept { return bytes * 8 / static_cast<std::size_t>(bit_size(dtype)); }

void element_values(DType dtype, std::span<const std::byte> in, std::span<double> out) {
  BIGMODEL_ASSERT(is_real_number(dtype) && elements_in(dtype, in.size()) >= out.size());
  switch (dtype) {
    case DType::boolean: return each<std::uint8_t>(in, out, [](std::uint8_t stored) { return stored != 0 ? 1.0 : 0.0; });
    case DType::uint8: return each<std::uint8_t>(in, out);
    case DType::uint16: return each<std::uint16_t>(in, out);
    case DType::uint32: return each<std::uint32_t>(in, out);
    case DType::uint64: return each<std::uint64_t>(in, out);
    case DType::int8: return each<std::int8_t>(in, out);
    case DType::int16: return each<std::int16_t>(in, out);
    case DType::int32: return each<std::int32_t>(in, out);
    case DType::int64: return each<std::int64_t>(in, out);
    case DType::float64: return each<double>(in, out);
    case DType::float32: return each<float>(in, out);
    case DType::float16: return each<std::uint16_t>(in, out, [](std::uint16_t bits) { return ieee_float<5, 10>(bits); });
    case DType::bfloat16:
      return each<std::uint16_t>(in, out, [](std::uint16_t bits) { return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16)); });
    default: return small_values(dtype, in, out);
  }
}

}  // namespace bigmodel
