// SPDX-License-Identifier: Apache-2.0
// References: IEEE 754 round-to-nearest-even; c10/util/{Half,BFloat16,Float8_e4m3fn,Float8_e5m2}.h for NaN and overflow.
#include "bigmodel/checkpoint/convert_elements.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "bigmodel/checkpoint/element_values.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// To a small float of `exponent` and `mantissa` bits with IEEE infinities, round to nearest even.
template <int exponent, int mantissa>
std::uint32_t to_small(float value) {
  constexpr int kBias = (1 << (exponent - 1)) - 1;
  constexpr std::uint32_t kInfinity = ((1U << exponent) - 1) << mantissa;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 31 << (exponent + mantissa);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) {
    return sign | kInfinity | (exponent == 5 && mantissa == 2 ? 3U : 1U << (mantissa - 1));
  }
  if (magnitude == 0x7f800000U) return sign | kInfinity;
  const int e = static_cast<int>(magnitude >> 23) - 127;
  std::uint32_t m = (magnitude & 0x7fffffU) | (magnitude >> 23 != 0 ? 0x800000U : 0U);
  int shift = 23 - mantissa;
  std::uint32_t base = 0;
  if (e + kBias <= 0) {
    shift += 1 - (e + kBias);
    if (shift > 25) return sign;
  } else {
    base = static_cast<std::uint32_t>(e + kBias) << mantissa;
    m &= 0x7fffffU;
  }
  const std::uint32_t kept = m >> shift;
  const std::uint32_t rest = m & ((1U << shift) - 1);
  const std::uint32_t half = 1U << (shift - 1);
  // A carry out of the mantissa moves into the exponent, as it should.
  const std::uint32_t out = base + kept + (rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0);
  return sign | (out > kInfinity ? kInfinity : out);
}

/// No infinities: what rounds above 448, infinities too, becomes 448 (torch 2.15; older ones made NaN of it).
std::uint8_t to_e4m3fn(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>(bits >> 31 << 7);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<std::uint8_t>(sign | 0x7f);
  if (magnitude >= 448.0F) return static_cast<std::uint8_t>(sign | 0x7e);
  // Exponent 15 holds numbers here, so round with one exponent bit more and shift the bias back.
  const int e = magnitude == 0 ? -127 : std::ilogb(magnitude);
  const int scale = e < -6 ? -9 : e - 3;  // of the last kept bit
  const double steps = std::nearbyint(std::ldexp(static_cast<double>(magnitude), -scale));
  const double rounded = std::ldexp(steps, scale);
  if (rounded < std::ldexp(1.0, -6)) return static_cast<std::uint8_t>(sign | static_cast<std::uint8_t>(std::ldexp(rounded, 9)));
  const int re = std::ilogb(rounded);
  const auto m = static_cast<std::uint32_t>(std::ldexp(rounded, 3 - re)) & 7U;
  return static_cast<std::uint8_t>(sign | static_cast<std::uint32_t>(re + 7) << 3 | m);
}

template <class T>
T load(const std::byte* from) {
  T out;
  std::memcpy(&out, from, sizeof(T));
  return out;
}
template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

void from_double(double value, DType to, std::byte* p) {
  // PyTorch goes by way of float32 to every narrower dtype.
  const auto narrow = static_cast<float>(value);
  switch (to) {
    case DType::float64: return store(p, value);
    case DType::float32: return store(p, narrow);
    case DType::float16: return store(p, static_cast<std::uint16_t>(to_small<5, 10>(narrow)));
    case DType::bfloat16: return store(p, to_bfloat16(narrow));
    case DType::float8_e4m3fn: return store(p, to_e4m3fn(narrow));
    case DType::float8_e5m2: return store(p, static_cast<std::uint8_t>(to_small<5, 2>(narrow)));
    default: break;
  }
  BIGMODEL_ASSERT(false);
}

bool convertible(DType dtype) {
  switch (dtype) {
    case DType::float64:
    case DType::float32:
    case DType::float16:
    case DType::bfloat16:
    case DType::float8_e4m3fn:
    case DType::float8_e5m2: return true;
    default: return false;
  }
}

}  // namespace

bool can_convert(DType from, DType to) noexcept { return convertible(from) && convertible(to); }

ConversionCounts convert_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out) {
  BIGMODEL_ASSERT(can_convert(from, to));
  const auto in_item = static_cast<std::size_t>(bit_size(from)) / 8;
  const auto out_item = static_cast<std::size_t>(bit_size(to)) / 8;
  const std::size_t count = in.size() / in_item;
  BIGMODEL_ASSERT(in.size() % in_item == 0 && out.size() == count * out_item);
  ConversionCounts counts;
  // The two that real conversions use, in loops that the compiler can widen.
  if (from == DType::float32 && to == DType::bfloat16) {
    for (std::size_t i = 0; i < count; ++i) {
      const float value = load<float>(in.data() + 4 * i);
      const std::uint16_t bits = to_bfloat16(value);
      counts.overflowed += (bits & 0x7fff) == 0x7f80 && std::isfinite(value) ? 1 : 0;
      store(out.data() + 2 * i, bits);
    }
    return counts;
  }
  if (from == DType::bfloat16 && to == DType::float32) {
    for (std::size_t i = 0; i < count; ++i) store(out.data() + 4 * i, static_cast<std::uint32_t>(load<std::uint16_t>(in.data() + 2 * i)) << 16);
    return counts;
  }
  if (in_item == 1 && out_item > 1 && count >= 1024) {
    // Of eight bits there are 256 values, all of which wider formats hold.
    std::array<std::byte, 256> every;
    for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<std::byte>(i);
    std::array<double, 256> value;
    element_values(from, every, value);
    std::array<std::byte, 256 * 8> table;
    for (std::size_t i = 0; i < value.size(); ++i) from_double(value[i], to, table.data() + out_item * i);
    const auto look_up = [&]<std::size_t kItem>() {
      for (std::size_t i = 0; i < count; ++i) std::memcpy(out.data() + kItem * i, table.data() + kItem * static_cast<std::size_t>(in[i]), kItem);
    };
    if (out_item == 2) {
      look_up.template operator()<2>();
    } else if (out_item == 4) {
      look_up.template operator()<4>();
    } else {
      look_up.template operator()<8>();
    }
    return counts;
  }
  std::array<double, 1024> values;
  std::array<double, 1024> backs;
  for (std::size_t done = 0; done < count;) {
    const std::size_t block = std::min(values.size(), count - done);
    const std::span value = std::span(values).first(block);
    const std::span back = std::span(backs).first(block);
    const std::span written = out.subspan(done * out_item, block * out_item);
    element_values(from, in.subspan(done * in_item, block * in_item), value);
    for (std::size_t i = 0; i < block; ++i) from_double(value[i], to, written.data() + out_item * i);
    element_values(to, written, back);
    for (std::size_t i = 0; i < block; ++i) {
      // Infinite, or cut to the largest number of a format without infinities.
      if (std::isfinite(value[i]) && (!std::isfinite(back[i]) || (to == DType::float8_e4m3fn && std::fabs(value[i]) >= 464.0))) ++counts.overflowed;
    }
    done += block;
  }
  return counts;
}

}  // namespace bigmodel
