// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/kv_format.h"

#include <algorithm>
#include <vector>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/ggml_type.h"

namespace bigmodel {
namespace {

KvFormat of_ggml(std::string_view name) {
  const GgmlType type = *find_ggml_type(name);
  return {type.name, type.block_bytes, type.block_elements, true};
}

const std::vector<KvFormat>& formats() {
  static const std::vector<KvFormat> kFormats = {
      {"float32", 4, 1}, {"float16", 2, 1}, {"bfloat16", 2, 1}, of_ggml("q8_0"), {"fp8", 1, 1},     {"int8", 1, 1},
      of_ggml("q5_1"),   of_ggml("q5_0"),   of_ggml("q4_1"),    of_ggml("q4_0"), of_ggml("iq4_nl"), {"nvfp4", 9, 16},
  };
  return kFormats;
}

}  // namespace

std::span<const KvFormat> kv_formats() { return formats(); }

std::optional<KvFormat> find_kv_format(std::string_view name) {
  const auto it = std::ranges::find(formats(), name, &KvFormat::name);
  if (it != formats().end()) return *it;
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
  return checked_mul(ceil_div(count, format.block_elements), format.block_bytes, "KV cache");
}

}  // namespace bigmodel
