// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// Place in the reference's list of dtypes, low to high alignment.
int rank_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return 0;
    case DType::float4: return 1;
    case DType::float6_e2m3: return 2;
    case DType::float6_e3m2: return 3;
    case DType::uint8: return 4;
    case DType::int8: return 5;
    case DType::float8_e5m2: return 6;
    case DType::float8_e4m3fn: return 7;
    case DType::float8_e8m0fnu: return 8;
    case DType::float8_e4m3fnuz: return 9;
    case DType::float8_e5m2fnuz: return 10;
    case DType::int16: return 11;
    case DType::uint16: return 12;
    case DType::float16: return 13;
    case DType::bfloat16: return 14;
    case DType::int32: return 15;
    case DType::uint32: return 16;
    case DType::float32: return 17;
    case DType::complex64: return 18;
    case DType::float64: return 19;
    case DType::int64: return 20;
    case DType::uint64: return 21;
    case DType::complex32:
    case DType::complex128:
    case DType::float4_e2m1fn_x2:
    case DType::int2:
    case DType::int4:
    case DType::uint4: return -1;
  }
  return -1;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

TensorInfo safetensors_info(const TensorInfo& tensor) {
  TensorInfo out = tensor;
  if (out.dtype == DType::float4_e2m1fn_x2) {
    out.dtype = DType::float4;
    if (out.shape.empty()) throw UnsupportedError(fmt::format("tensor \"{}\": a packed float4 scalar has no place in safetensors", tensor.name));
    out.shape.back() *= 2;
  }
  if (rank_of(out.dtype) < 0) {
    throw UnsupportedError(fmt::format("tensor \"{}\": safetensors has no dtype for {}", tensor.name, name(tensor.dtype)), "write --format bin, or convert it first");
  }
  return out;
}

std::vector<std::uint32_t> safetensors_order(std::span<const TensorInfo> tensors) {
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
    const int x = rank_of(tensors[a].dtype), y = rank_of(tensors[b].dtype);
    return x != y ? x > y : tensors[a].name < tensors[b].name;
  });
  return order;
}

std::string safetensors_header_bytes(std::span<const TensorInfo> tensors, std::span<const std::pair<std::string, std::string>> metadata,
                                     std::uint64_t block_bytes, std::uint64_t data_phase) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (std::size_t i = 0; i < metadata.size(); ++i) {
      if (i > 0) json += ',';
      append_json_string(json, metadata[i].first);
      json += ':';
      append_json_string(json, metadata[i].second);
    }
    json += '}';
  }
  std::uint64_t offset = 0;
  for (const TensorInfo& tensor : tensors) {
    const auto size = static_cast<std::uint64_t>(byte_count(tensor.dtype, element_count(tensor.shape, tensor.name)));
    if (json.size() > 1) json += ',';
    append_json_string(json, tensor.name);
    json += fmt::format(":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", safetensors_code(tensor.dtype), fmt::join(tensor.shape, ","), offset, offset + size);
    offset += size;
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  if (block_bytes > 0) {
    const std::uint64_t begins = (json.size() + 8) % block_bytes;
    json.append(static_cast<std::size_t>((data_phase % block_bytes + block_bytes - begins) % block_bytes), ' ');
  }
  std::string out;
  out.reserve(json.size() + 8);
  for (int i = 0; i < 8; ++i) out += static_cast<char>((static_cast<std::uint64_t>(json.size()) >> (8 * i)) & 0xff);
  return out + json;
}

}  // namespace bigmodel
