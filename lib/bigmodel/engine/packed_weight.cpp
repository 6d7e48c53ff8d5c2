// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/packed_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/quantization_config.h"

namespace bigmodel {
namespace {

using Kind = QuantizationMethod::Kind;

/// A block of mxfp4: so many values in half as many bytes.
constexpr std::int64_t kBlock = 32;

std::int64_t rows_of(const Shape& shape) {
  std::int64_t rows = 1;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  return rows;
}

[[noreturn]] void misfit(const PackedWeight& weight) {
  throw FormatError(fmt::format("tensor '{}': factors '{}' of shape {} do not fit {}", weight.values->name, weight.factors->name, to_string(weight.factors->shape), to_string(weight.values->shape)));
}

}  // namespace

QuantizationMethod quantization_method(const Config& config) {
  QuantizationMethod out;
  const std::optional<QuantizationConfig> stated = quantization_of(config);
  if (!stated) return out;
  const auto refuse = [&](const std::string& method) {
    throw UnsupportedError(fmt::format("{}: weights quantised by '{}' are not run", config.where, method), "those of fp8, mxfp4, bitsandbytes (8 bits) and compressed-tensors (unpacked) are");
  };
  const PackedForm* form = stated->rules.empty() || !stated->rules.front().form ? nullptr : &*stated->rules.front().form;
  if (stated->method == "fp8") {
    if (form == nullptr) throw FormatError(fmt::format("{}: key 'quantization_config': {}", config.where, stated->unknown.empty() ? "states no form" : stated->unknown.front()));
    out.kind = Kind::fp8_blocks;
    if (form->scales == PackedForm::Scales::tile) {
      out.block_rows = form->group;
      out.block_columns = form->group_columns;
    }
  } else if (stated->method == "mxfp4") {
    out.kind = Kind::mxfp4;
  } else if (stated->method == "bitsandbytes") {
    if (form == nullptr || form->element_bits != 8) refuse("bitsandbytes (4 bits)");
    out.kind = Kind::bitsandbytes_int8;
  } else if (stated->method == "compressed-tensors") {
    const std::string& format = stated->format;
    if (format != "int-quantized" && format != "float-quantized" && format != "naive-quantized") refuse(fmt::format("compressed-tensors ({})", format.empty() ? "no format" : format));
    out.kind = Kind::scaled;
  } else {
    refuse(stated->method);
  }
  return out;
}

Shape PackedWeight::shape() const {
  if (kind != Kind::mxfp4) return values->shape;
  Shape out(values->shape.begin(), values->shape.end() - 1);
  out.back() *= kBlock;
  return out;
}

namespace packed_weight_detail {

Names names(const QuantizationMethod& method, const std::string& name) {
  switch (method.kind) {
    case Kind::none: return {};
    case Kind::fp8_blocks: return {name, name + "_scale_inv"};
    case Kind::mxfp4: return {name + "_blocks", name + "_scales"};
    case Kind::scaled: return {name, name + "_scale"};
    case Kind::bitsandbytes_int8: {
      constexpr std::string_view kEnd = "weight";
      if (!name.ends_with(kEnd)) return {};
      return {name, name.substr(0, name.size() - kEnd.size()) + "SCB"};
    }
  }
  return {};
}

bool is_packed(const QuantizationMethod& method, const CheckpointTensor& values) {
  switch (method.kind) {
    case Kind::none: return false;
    case Kind::fp8_blocks: return values.dtype == DType::float8_e4m3fn;
    case Kind::mxfp4: return values.dtype == DType::uint8;
    case Kind::bitsandbytes_int8: return values.dtype == DType::int8;
    case Kind::scaled: return values.dtype == DType::int8 || values.dtype == DType::float8_e4m3fn;
  }
  return false;
}

PackedWeight checked(const QuantizationMethod& method, const CheckpointTensor& values, const CheckpointTensor* factors, const std::string& factors_name) {
  if (factors == nullptr) throw FormatError(fmt::format("tensor '{}': is quantised, but there is no '{}'", values.name, factors_name));
  PackedWeight out{method.kind, &values, factors, 0, 0};
  const Shape& shape = values.shape;
  const Shape& by = factors->shape;
  if (method.kind == Kind::mxfp4) {
    if (factors->dtype != DType::uint8 || shape.size() < 3 || shape.back() != kBlock / 2 || by != Shape(shape.begin(), shape.end() - 1)) misfit(out);
    if (shape[shape.size() - 2] > INT64_MAX / kBlock) misfit(out);
    return out;
  }
  if (!is_floating_point(factors->dtype) || !can_convert(factors->dtype, DType::float32) || shape.size() < 2 || std::ranges::find(shape, 0) != shape.end()) misfit(out);
  const std::int64_t rows = shape[shape.size() - 2], columns = shape.back();
  if (method.kind != Kind::fp8_blocks) {
    // A factor a row, however its shape says so, or one for all.
    const std::int64_t count = element_count(by);
    if (count != rows_of(shape) && (count != 1 || method.kind == Kind::bitsandbytes_int8)) misfit(out);
    out.block_rows = count == 1 ? rows_of(shape) : 1;
    out.block_columns = columns;
    return out;
  }
  if (by.size() != shape.size() || !std::equal(by.begin(), by.end() - 2, shape.begin()) || std::ranges::find(by, 0) != by.end()) misfit(out);
  const std::int64_t down = by[by.size() - 2], across = by.back();
  out.block_rows = method.block_rows;
  out.block_columns = method.block_columns;
  if (out.block_rows == 0) {
    if (rows % down != 0 || columns % across != 0) misfit(out);
    out.block_rows = rows / down;
    out.block_columns = columns / across;
  }
  if ((rows - 1) / out.block_rows + 1 != down || (columns - 1) / out.block_columns + 1 != across) misfit(out);
  return out;
}

}  // namespace packed_weight_detail

PackedReader::PackedReader(const PackedWeight& weight, TensorReader& reader) : weight_(weight), reader_(reader) {
  if (weight.kind == Kind::mxfp4) return;
  const std::vector<std::byte> raw = reader.read_all(*weight.factors);
  factors_.resize(static_cast<std::size_t>(element_count(weight.factors->shape)));
  convert_elements(weight.factors->dtype, raw, DType::float32, std::as_writable_bytes(std::span(factors_)));
  if (weight.kind == Kind::bitsandbytes_int8) {
    for (float& f : factors_) f /= 127.0F;
  }
}

void PackedReader::read(std::int64_t first, std::int64_t count, std::span<float> out) {
  const Shape shape = weight_.shape();
  const std::int64_t columns = shape.back();
  const std::int64_t row_bytes = weight_.kind == Kind::mxfp4 ? columns / 2 : columns;
  raw_.resize(static_cast<std::size_t>(count * row_bytes));
  reader_.read(*weight_.values, static_cast<std::uint64_t>(first * row_bytes), raw_);
  if (weight_.kind == Kind::mxfp4) {
    static constexpr std::array<float, 16> kValues = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};
    const std::int64_t blocks = columns / kBlock;
    std::vector<std::byte> exponents(static_cast<std::size_t>(count * blocks));
    reader_.read(*weight_.factors, static_cast<std::uint64_t>(first * blocks), exponents);
    for (std::size_t i = 0; i < raw_.size(); ++i) {
      const int exponent = static_cast<int>(exponents[i / (kBlock / 2)]) - 127;
      const auto byte = static_cast<unsigned>(raw_[i]);
      out[2 * i] = std::ldexp(kValues[byte & 15U], exponent);
      out[2 * i + 1] = std::ldexp(kValues[byte >> 4U], exponent);
    }
    return;
  }
  if (weight_.values->dtype == DType::int8) {
    for (std::size_t i = 0; i < raw_.size(); ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(raw_[i]));
  } else {
    convert_elements(weight_.values->dtype, raw_, DType::float32, std::as_writable_bytes(out));
  }
  const std::int64_t across = (columns - 1) / weight_.block_columns + 1;
  const std::int64_t matrix_rows = weight_.kind == Kind::fp8_blocks ? shape[shape.size() - 2] : rows_of(shape);
  const std::int64_t down = (matrix_rows - 1) / weight_.block_rows + 1;
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t row = first + r;
    const std::int64_t line = row / matrix_rows * down + row % matrix_rows / weight_.block_rows;
    for (std::int64_t c = 0; c < columns; ++c) out[static_cast<std::size_t>(r * columns + c)] *= factors_[static_cast<std::size_t>(line * across + c / weight_.block_columns)];
  }
}

}  // namespace bigmodel
