// SPDX-License-Identifier: Apache-2.0
// Weights that a checkpoint holds quantised: which methods are known, how their tensors are named, and their values.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/model/config.h"

namespace bigmodel {

/// What the `quantization_config` of a config.json says.
struct QuantizationMethod {
  enum class Kind : std::uint8_t {
    none,
    fp8_blocks,          ///< "fp8": X.weight float8_e4m3fn, X.weight_scale_inv one factor a block of rows and columns
    mxfp4,               ///< X_blocks: two 4-bit floats a byte, 32 to a block; X_scales: a power of two for each block
    bitsandbytes_int8,   ///< X.weight int8, X.SCB the largest magnitude of each row
    scaled,              ///< "compressed-tensors" without packing: X.weight int8 or float8_e4m3fn, X.weight_scale a factor a row, or one for all
  };
  Kind kind = Kind::none;
  std::int64_t block_rows = 0, block_columns = 0;   ///< fp8_blocks; 0: as many as the factors' shape asks for
};

/// Throws UnsupportedError for every other method, by its name. Weights are run as the floating-point values that they stand for: activations are not
/// quantised, whatever the method does with them.
QuantizationMethod quantization_method(const Config& config);

/// A quantised tensor of the file and its factors.
struct PackedWeight {
  QuantizationMethod::Kind kind = QuantizationMethod::Kind::none;
  const CheckpointTensor* values = nullptr;
  const CheckpointTensor* factors = nullptr;
  std::int64_t block_rows = 0, block_columns = 0;

  explicit operator bool() const noexcept { return kind != QuantizationMethod::Kind::none; }
  /// Of the floating-point tensor that it stands for.
  Shape shape() const;
};

/// The packed tensor of that name, or an empty one where the file has no such (then it is an ordinary tensor, if anything). Throws FormatError where
/// factors are missing or do not fit. `find` looks a file tensor up by name.
template <typename Find>
PackedWeight find_packed_weight(const QuantizationMethod& method, const std::string& name, Find&& find);

/// float32 values of rows [first, first + count) of all dimensions but the last, row-major. Throws as TensorReader does.
class PackedReader {
 public:
  PackedReader(const PackedWeight& weight, TensorReader& reader);
  void read(std::int64_t first, std::int64_t count, std::span<float> out);

 private:
  const PackedWeight& weight_;
  TensorReader& reader_;
  std::vector<float> factors_;
  std::vector<std::byte> raw_;
};

namespace packed_weight_detail {
/// Name of the tensor that holds values, and of the one that holds factors.
struct Names {
  std::string values, factors;
};
Names names(const QuantizationMethod& method, const std::string& name);
bool is_packed(const QuantizationMethod& method, const CheckpointTensor& values);
PackedWeight checked(const QuantizationMethod& method, const CheckpointTensor& values, const CheckpointTensor* factors, const std::string& factors_name);
}  // namespace packed_weight_detail

template <typename Find>
PackedWeight find_packed_weight(const QuantizationMethod& method, const std::string& name, Find&& find) {
  if (method.kind == QuantizationMethod::Kind::none) return {};
  const packed_weight_detail::Names names = packed_weight_detail::names(method, name);
  const CheckpointTensor* values = names.values.empty() ? nullptr : find(names.values);
  if (values == nullptr || !packed_weight_detail::is_packed(method, *values)) return {};
  return packed_weight_detail::checked(method, *values, find(names.factors), names.factors);
}

}  // namespace bigmodel
