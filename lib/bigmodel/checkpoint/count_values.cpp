// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/count_values.h"

#include <cstring>

namespace bigmodel {
namespace {

/// Infinity is `infinity` without its sign, everything above it is NaN.
template <typename Bits>
ValueCounts count_ieee(std::span<const std::byte> bytes, Bits infinity, std::size_t parts) {
  constexpr auto kMagnitude = static_cast<Bits>(static_cast<Bits>(~Bits{0}) >> 1);
  ValueCounts counts;
  const std::size_t step = sizeof(Bits) * parts;
  for (std::size_t at = 0; at + step <= bytes.size(); at += step) {
    bool nan = false;
    bool inf = false;
    for (std::size_t part = 0; part < parts; ++part) {
      Bits bits = 0;
      std::memcpy(&bits, bytes.data() + at + part * sizeof(Bits), sizeof(Bits));
      bits = static_cast<Bits>(bits & kMagnitude);
      nan = nan || bits > infinity;
      inf = inf || bits == infinity;
    }
    counts.nan_count += nan ? 1 : 0;
    counts.inf_count += inf && !nan ? 1 : 0;
  }
  return counts;
}

/// Eight-bit formats whose only special values are these bytes.
ValueCounts count_bytes(std::span<const std::byte> bytes, std::uint8_t nan, std::uint8_t other_nan) {
  ValueCounts counts;
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<std::uint8_t>(byte);
    counts.nan_count += value == nan || value == other_nan ? 1 : 0;
  }
  return counts;
}

}  // namespace

ValueCounts count_values(DType dtype, std::span<const std::byte> bytes) {
  constexpr std::uint16_t kHalfInfinity = 0x7c00;
  constexpr std::uint32_t kFloatInfinity = 0x7f800000;
  constexpr std::uint64_t kDoubleInfinity = 0x7ff0000000000000;
  switch (dtype) {
    case DType::float64: return count_ieee(bytes, kDoubleInfinity, 1);
    case DType::float32: return count_ieee(bytes, kFloatInfinity, 1);
    case DType::float16: return count_ieee(bytes, kHalfInfinity, 1);
    case DType::bfloat16: return count_ieee(bytes, std::uint16_t{0x7f80}, 1);
    case DType::complex32: return count_ieee(bytes, kHalfInfinity, 2);
    case DType::complex64: return count_ieee(bytes, kFloatInfinity, 2);
    case DType::complex128: return count_ieee(bytes, kDoubleInfinity, 2);
    case DType::float8_e5m2: return count_ieee(bytes, std::uint8_t{0x7c}, 1);
    case DType::float8_e4m3fn: return count_bytes(bytes, 0x7f, 0xff);
    case DType::float8_e4m3fnuz:
    case DType::float8_e5m2fnuz: return count_bytes(bytes, 0x80, 0x80);
    case DType::float8_e8m0fnu: return count_bytes(bytes, 0xff, 0xff);
    default: return {};
  }
}

}  // namespace bigmodel
