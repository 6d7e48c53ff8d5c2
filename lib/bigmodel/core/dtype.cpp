// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/dtype.h"

#include <array>
#include <string>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

enum class Family { integer, floating, complex };

struct Row {
  DType dtype;
  int bits;
  Family family;
  std::string_view name;
  std::string_view code;
};

constexpr std::array kRows{
    Row{DType::boolean, 8, Family::integer, "bool", "BOOL"},
    Row{DType::uint8, 8, Family::integer, "uint8", "U8"},
    Row{DType::uint16, 16, Family::integer, "uint16", "U16"},
    Row{DType::uint32, 32, Family::integer, "uint32", "U32"},
    Row{DType::uint64, 64, Family::integer, "uint64", "U64"},
    Row{DType::int8, 8, Family::integer, "int8", "I8"},
    Row{DType::int16, 16, Family::integer, "int16", "I16"},
    Row{DType::int32, 32, Family::integer, "int32", "I32"},
    Row{DType::int64, 64, Family::integer, "int64", "I64"},
    Row{DType::float16, 16, Family::floating, "float16", "F16"},
    Row{DType::bfloat16, 16, Family::floating, "bfloat16", "BF16"},
    Row{DType::float32, 32, Family::floating, "float32", "F32"},
    Row{DType::float64, 64, Family::floating, "float64", "F64"},
    Row{DType::complex32, 32, Family::complex, "complex32", ""},
    Row{DType::complex64, 64, Family::complex, "complex64", "C64"},
    Row{DType::complex128, 128, Family::complex, "complex128", ""},
    Row{DType::float8_e4m3fn, 8, Family::floating, "float8_e4m3fn", "F8_E4M3"},
    Row{DType::float8_e4m3fnuz, 8, Family::floating, "float8_e4m3fnuz", "F8_E4M3FNUZ"},
    Row{DType::float8_e5m2, 8, Family::floating, "float8_e5m2", "F8_E5M2"},
    Row{DType::float8_e5m2fnuz, 8, Family::floating, "float8_e5m2fnuz", "F8_E5M2FNUZ"},
    Row{DType::float8_e8m0fnu, 8, Family::floating, "float8_e8m0fnu", "F8_E8M0"},
    Row{DType::float4_e2m1fn_x2, 8, Family::floating, "float4_e2m1fn_x2", ""},
    Row{DType::float4, 4, Family::floating, "float4", "F4"},
    Row{DType::float6_e2m3, 6, Family::floating, "float6_e2m3", "F6_E2M3"},
    Row{DType::float6_e3m2, 6, Family::floating, "float6_e3m2", "F6_E3M2"},
    Row{DType::int2, 2, Family::integer, "int2", ""},
    Row{DType::int4, 4, Family::integer, "int4", ""},
    Row{DType::uint4, 4, Family::integer, "uint4", ""},
    Row{DType::q8_0, 8, Family::integer, "q8_0", ""},
    Row{DType::q4_0, 4, Family::integer, "q4_0", ""},
};

struct Alias {
  std::string_view spelling;
  DType dtype;
};

constexpr std::array kAliases{
    Alias{"fp32", DType::float32},  Alias{"f32", DType::float32},   Alias{"float", DType::float32},
    Alias{"fp16", DType::float16},  Alias{"f16", DType::float16},   Alias{"half", DType::float16},
    Alias{"bf16", DType::bfloat16}, Alias{"fp64", DType::float64},  Alias{"f64", DType::float64},
    Alias{"double", DType::float64}, Alias{"fp8", DType::float8_e4m3fn}, Alias{"float8", DType::float8_e4m3fn},
    Alias{"long", DType::int64},    Alias{"i64", DType::int64},     Alias{"int", DType::int32},
    Alias{"i32", DType::int32},     Alias{"short", DType::int16},   Alias{"u8", DType::uint8},
};

const Row& row(DType dtype) noexcept { return kRows[static_cast<std::size_t>(dtype)]; }

constexpr bool rows_match_enum() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].dtype) != i) return false;
  }
  return kRows.size() == static_cast<std::size_t>(DType::q4_0) + 1;
}
static_assert(rows_match_enum());

constexpr std::size_t kListed = static_cast<std::size_t>(DType::uint4) + 1;
constexpr std::int64_t kBlock = 32, kFactorBytes = 2;

constexpr auto kAll = [] {
  std::array<DType, kListed> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = kRows[i].dtype;
  return out;
}();

}  // namespace

int bit_size(DType dtype) noexcept { return row(dtype).bits; }
int block_size(DType dtype) noexcept { return dtype == DType::q8_0 || dtype == DType::q4_0 ? static_cast<int>(kBlock) : 1; }

std::int64_t byte_count(DType dtype, std::int64_t count) {
  BIGMODEL_ASSERT(count >= 0);
  const std::int64_t bits = bit_size(dtype);
  if (block_size(dtype) > 1) return checked_mul(ceil_div(count, kBlock), kFactorBytes + kBlock * bits / 8, name(dtype));
  if (bits % 8 == 0) return checked_mul(count, bits / 8, name(dtype));
  return checked_add(checked_mul(count, bits, name(dtype)), std::int64_t{7}, name(dtype)) / 8;
}

std::string_view name(DType dtype) noexcept { return row(dtype).name; }
std::string_view safetensors_code(DType dtype) noexcept { return row(dtype).code; }

std::optional<DType> find_dtype(std::string_view spelling) noexcept {
  if (spelling.starts_with("torch.")) spelling.remove_prefix(6);
  for (const DType dtype : kAll) {
    if (name(dtype) == spelling) return dtype;
  }
  for (const Alias& a : kAliases) {
    if (a.spelling == spelling) return a.dtype;
  }
  return std::nullopt;
}

std::optional<DType> find_safetensors_dtype(std::string_view code) noexcept {
  if (code.empty()) return std::nullopt;
  for (const Row& r : kRows) {
    if (r.code == code) return r.dtype;
  }
  return std::nullopt;
}

bool is_floating_point(DType dtype) noexcept { return row(dtype).family == Family::floating; }
bool is_complex(DType dtype) noexcept { return row(dtype).family == Family::complex; }
std::span<const DType> all_dtypes() noexcept { return kAll; }

}  // namespace bigmodel
