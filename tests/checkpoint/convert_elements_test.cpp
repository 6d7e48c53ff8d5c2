// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/convert_elements.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "bigmodel/io/sha256.h"

namespace bigmodel {
namespace {

struct Row {
  DType from, to;
  std::string_view sha256;
};

// torch 2.15.0, Tensor.to(dtype) of the bit patterns that patterns() makes, places of NaN set to zero (their payload
// depends on the machine's vector width there).
constexpr Row kRows[] = {
    {DType::float32, DType::float16, "9b3e38ba96ecb1f76d5b26f2fb28f32e67035415c0c051a2f094a25ab7cc5673"},
    {DType::float32, DType::bfloat16, "4d0945e641b3b8f0bdaa8a360e242b2862cdb13c9a4468d80acc84941dff5c52"},
    {DType::float32, DType::float8_e4m3fn, "bbc99a2d1cb7e9e754063a1ae81953566ccc202c367e76dd69bc6a31d6742367"},
    {DType::float32, DType::float8_e5m2, "68ac1734ec325b0b0891956ac433733a35e95a94a683c795e9f912874317c2db"},
    {DType::float32, DType::float64, "cc7efa57ec248f47eb829d7e80a13af8614e637696344c1a57ae623cb235f1d8"},
    {DType::float16, DType::float32, "faa6d965574036872b0d39a42d1f8bee361d5be92b1e718155a69556a5abacdd"},
    {DType::float16, DType::bfloat16, "dd9445cccdd10fb0941d5075845c2f0279e55bb6122cad1c4087e5ad2a9c52c4"},
    {DType::float16, DType::float8_e4m3fn, "e722e731c0e7efd7c94f18855dd4b45429e84ad4ec3f065847f67338d477b5d0"},
    {DType::float16, DType::float8_e5m2, "c02981379ad979c48cc7f5229bc0b83d872168ca0e4d4262ca084146de647d8d"},
    {DType::bfloat16, DType::float32, "2950e27364395060b01ae85b45dd15a2ab8891f6ee8b0af2b541dbda5524d0b4"},
    {DType::bfloat16, DType::float16, "82d2246fbac1769cb4014002ba9387beb58b3f3b7a6a7b5e021ca309c632c8cc"},
    {DType::bfloat16, DType::float8_e4m3fn, "ec6eecf742e25e847f18e13240011d639b9119d72f5256dcfb380400cfe3eda2"},
    {DType::bfloat16, DType::float8_e5m2, "b297197495aeefed24530353be8fb67d89404c9b79d3d4d5f26bb83e9febb0ff"},
    {DType::float8_e4m3fn, DType::float32, "0c5d81084420441d5c98db2c276b865fc29738d60fba9c32b55aa8214762b794"},
    {DType::float8_e4m3fn, DType::float16, "0cff657947d85c8f3c3bf7228c8e82f97f924164106c278c82ea87d5cb3578a3"},
    {DType::float8_e4m3fn, DType::bfloat16, "a5db666f23e55a3fed3071257384f1a42a56514f1e04f0a7716119664a2616b3"},
    {DType::float8_e5m2, DType::float32, "f3e7031368f3245d56c8114ed15a46144bf609430c117e10fc3e0f5114d773b3"},
    {DType::float8_e5m2, DType::float16, "8616c6449db4fdda443c001e73bade3ce52570aead07b6bae783d63c92ff2bfe"},
    {DType::float8_e5m2, DType::bfloat16, "3cb0d3b52274aaa8312a75e7819bdc34d26ab511df0c8c9585bd6029dce19e2e"},
    {DType::float64, DType::float32, "8d4f5a19918f475783776a028fcd7560e16dcdd3886f7154e8ecf13904dbadc9"},
    {DType::float64, DType::float16, "374ff944369a4eaaabcb393d64842f1713d3877f581c0de1e2e882ef375f1376"},
    {DType::float64, DType::bfloat16, "628072a01594b0db09b9377f2b42a11ab52fb6836a8e03ba62d1ef0c211f9e77"},
};

/// Every bit pattern of 8 and 16 bits, every 4099th of 32, 2^20 spread ones of 64.
std::vector<std::byte> patterns(DType dtype) {
  std::vector<std::byte> out;
  const auto put = [&](const auto& value) {
    const std::size_t at = out.size();
    out.resize(at + sizeof(value));
    std::memcpy(out.data() + at, &value, sizeof(value));
  };
  switch (bit_size(dtype)) {
    case 8: for (unsigned i = 0; i < 256; ++i) put(static_cast<std::uint8_t>(i)); break;
    case 16: for (unsigned i = 0; i < 65536; ++i) put(static_cast<std::uint16_t>(i)); break;
    case 32: for (std::uint64_t i = 0; i < (std::uint64_t{1} << 32); i += 4099) put(static_cast<std::uint32_t>(i)); break;
    default: for (std::uint64_t i = 0; i < (1U << 20); ++i) put(i * 17592186044417ULL); break;
  }
  return out;
}

}  // namespace

TEST_SUITE("checkpoint/convert_elements") {
  TEST_CASE("rounds to nearest, ties to even") {
    const float values[] = {1.0F, 1.0009765625F, 1.00048828125F, 65519.9F, 65520.0F, -0.0F};
    std::uint16_t half[6];
    const ConversionCounts counts = convert_elements(DType::float32, std::as_bytes(std::span(values)), DType::float16, std::as_writable_bytes(std::span(half)));
    CHECK(half[0] == 0x3c00);
    CHECK(half[1] == 0x3c01);
    CHECK(half[2] == 0x3c00);
    CHECK(half[3] == 0x7bff);
    CHECK(half[4] == 0x7c00);
    CHECK(half[5] == 0x8000);
    CHECK(counts.overflowed == 1);
  }

  TEST_CASE("gives the bits of the reference") {
    for (const Row& row : kRows) {
      CAPTURE(std::string(name(row.from)));
      CAPTURE(std::string(name(row.to)));
      const std::vector<std::byte> in = patterns(row.from);
      const std::size_t count = in.size() / static_cast<std::size_t>(bit_size(row.from) / 8);
      const auto item = static_cast<std::size_t>(bit_size(row.to) / 8);
      std::vector<std::byte> out(count * item);
      convert_elements(row.from, in, row.to, out);
      std::vector<double> wide(count);
      convert_elements(row.from, in, DType::float64, std::as_writable_bytes(std::span(wide)));
      for (std::size_t i = 0; i < count; ++i) {
        if (std::isnan(wide[i])) std::memset(out.data() + i * item, 0, item);
      }
      CHECK(sha256_hex(out) == row.sha256);
    }
  }

  TEST_CASE("knows which pairs it converts") {
    CHECK(can_convert(DType::float32, DType::bfloat16));
    CHECK_FALSE(can_convert(DType::int32, DType::bfloat16));
    CHECK_FALSE(can_convert(DType::float32, DType::float4));
  }
}

}  // namespace bigmodel
