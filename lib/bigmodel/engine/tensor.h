// SPDX-License-Identifier: Apache-2.0
// A tensor with its own memory, as it flows between modules: activations (float32) and token ids (int64), in RAM or on an accelerator.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/shape.h"
#include "bigmodel/device/device.h"

namespace bigmodel {

/// A handle: copies share the memory, clone() does not. Row-major.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised, not on meta. Throws FormatError where the size does not fit 64 bits; what the device's allocate throws.
  explicit Tensor(Shape shape, DType dtype = DType::float32, const Device& device = cpu_device());

  static Tensor zeros(Shape shape, const Device& device = cpu_device());
  static Tensor of_ids(Shape shape, std::span<const std::int64_t> ids);

  bool empty() const noexcept { return data_ == nullptr; }
  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  std::int64_t count() const noexcept { return count_; }
  /// The last dimension, and how many rows of it there are.
  std::int64_t width() const { return shape_.back(); }
  std::int64_t rows() const { return count_ / shape_.back(); }

  /// Elements that the processor may touch: a tensor on an accelerator is a bug of ours.
  float* f32() const;
  std::int64_t* i64() const;
  /// Where the elements lie, also on an accelerator: for operations of that device.
  float* data() const;
  std::int64_t* ids() const;
  std::byte* bytes() const noexcept { return data_.get(); }

  /// Where the elements lie; kernels of the CPU read those of RAM and of devices that are RAM under another name.
  const Device& device() const noexcept { return *device_; }
  /// This tensor where it lies there already (or is empty), else a copy; on meta there is a shape and no elements.
  Tensor to(const Device& device) const;
  bool is_meta() const noexcept { return device_->is_meta(); }

  Tensor clone() const;
  /// The same memory under another shape of as many elements.
  Tensor reshaped(Shape shape) const;

 private:
  DType dtype_ = DType::float32;
  Shape shape_;
  std::int64_t count_ = 0;
  const Device* device_ = &cpu_device();
  std::shared_ptr<std::byte[]> data_;
};

/// Uninitialised float32 on the device of another.
Tensor beside(const Tensor& other, Shape shape);

/// a += b, element by element; equal shapes, one device.
void add_to(const Tensor& a, const Tensor& b);
/// a += scale * b.
void add_scaled_to(const Tensor& a, const Tensor& b, float scale);
void scale_by(const Tensor& a, float factor);
/// Entry i along the first dimension is a copy of entry `rows[i]`, on the same device. Throws FormatError where the size does not fit 64 bits.
Tensor select_rows(const Tensor& from, std::span<const std::int64_t> rows);

}  // namespace bigmodel
