// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/kv_format.h"

#include <algorithm>

#include "bigmodel/core/checked_math.h"

namespace bigmodel {
namespace {

constexpr KvFormat kFormats[] = {
    {"float32", 4, 1}, {"float16", 2, 1}, {"bfloat16", 2, 1}, {"q8_0", 34, 32}, {"fp8", 1, 1},     {"int8", 1, 1},
    {"q5_1", 24, 32},  {"q5_0", 22, 32},  {"q4_1", 20, 32},   {"q4_0", 18, 32}, {"iq4_nl", 18, 32}, {"nvfp4", 9, 16},
};

}  // namespace

std::span<const KvFormat> kv_formats() { return kFormats; }

std::optional<KvFormat> find_kv_format(std::string_view name) {
  const auto it = std::ranges::find(kFormats, name, &KvFormat::name);
  if (it != std::end(kFormats)) return *it;
  if (name.starts_with("fp8")) return name == "fp8_e4m3" || name == "fp8_e5m2" ? find_kv_format("fp8") : std::nullopt;
  const std::optional<DType> dtype = find_dtype(name);
  return dtype ? kv_format(*dtype) : std::nullopt;
}

std::optional<KvFormat> kv_format(DType dtype) {
  switch (dtype) {
    case DType::float32: return find_kv_format("float32");
    case DType::float16: return find_kv_format("float16");
    case DType::bfloat16: return find_kv_format("bfloat16");
    case DType::int8: return find_kv_format("int8");
    case DType::float8_e4m3fn:
    case DType::float8_e5m2: return find_kv_format("fp8");
    default: return std::nullopt;
  }
}

std::int64_t kv_bytes(const KvFormat& format, std::int64_t count) {
  const std::int64_t blocks = count / format.block_elements + (count % format.block_elements != 0 ? 1 : 0);
  return checked_mul(blocks, format.block_bytes, "KV cache");
}

}  // namespace bigmodel
