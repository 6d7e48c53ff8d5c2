// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/tensor.h"

#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"

namespace bigmodel {

Tensor::Tensor(Shape shape, DType dtype)
    : dtype_(dtype), shape_(std::move(shape)), count_(element_count(shape_, "a tensor")),
      data_(std::make_shared_for_overwrite<std::byte[]>(static_cast<std::size_t>(byte_count(dtype, std::max<std::int64_t>(count_, 1))))) {}

Tensor Tensor::zeros(Shape shape) {
  Tensor out(std::move(shape));
  std::memset(out.bytes(), 0, static_cast<std::size_t>(byte_count(out.dtype_, out.count_)));
  return out;
}

Tensor Tensor::of_ids(Shape shape, std::span<const std::int64_t> ids) {
  Tensor out(std::move(shape), DType::int64);
  BIGMODEL_ASSERT(out.count_ == static_cast<std::int64_t>(ids.size()));
  std::memcpy(out.bytes(), ids.data(), ids.size_bytes());
  return out;
}

float* Tensor::f32() const {
  BIGMODEL_ASSERT(dtype_ == DType::float32 && data_ != nullptr);
  return reinterpret_cast<float*>(data_.get());
}

std::int64_t* Tensor::i64() const {
  BIGMODEL_ASSERT(dtype_ == DType::int64 && data_ != nullptr);
  return reinterpret_cast<std::int64_t*>(data_.get());
}

Tensor Tensor::clone() const {
  if (empty()) return {};
  Tensor out(shape_, dtype_);
  std::memcpy(out.bytes(), bytes(), static_cast<std::size_t>(byte_count(dtype_, count_)));
  return out;
}

Tensor Tensor::to(const Device& device) const {
  if (device_ == &device || data_ == nullptr) return *this;
  if (is_meta()) throw DeviceError("a tensor on meta has no elements to move to " + device.name());
  const auto size = static_cast<std::size_t>(byte_count(dtype_, count_));
  Tensor out = *this;
  out.device_ = &device;
  if (device.is_meta()) return out;
  out.data_ = device.allocate(size);
  std::vector<std::byte> host(size);
  device_->copy_out(bytes(), host);
  device.copy_in(out.bytes(), host);
  return out;
}

Tensor Tensor::reshaped(Shape shape) const {
  BIGMODEL_ASSERT(element_count(shape) == count_);
  Tensor out = *this;
  out.shape_ = std::move(shape);
  return out;
}

void add_to(const Tensor& a, const Tensor& b) { add_scaled_to(a, b, 1.0F); }

void add_scaled_to(const Tensor& a, const Tensor& b, float scale) {
  BIGMODEL_ASSERT(a.count() == b.count());
  float* to = a.f32();
  const float* from = b.f32();
  if (scale == 1.0F) {
    for (std::int64_t i = 0; i < a.count(); ++i) to[i] += from[i];
  } else {
    for (std::int64_t i = 0; i < a.count(); ++i) to[i] += scale * from[i];
  }
}

void scale_by(const Tensor& a, float factor) {
  float* to = a.f32();
  for (std::int64_t i = 0; i < a.count(); ++i) to[i] *= factor;
}

Tensor select_rows(const Tensor& from, std::span<const std::int64_t> rows) {
  Shape shape = from.shape();
  const std::int64_t entries = shape.front();
  const std::size_t size = entries == 0 ? 0 : static_cast<std::size_t>(byte_count(from.dtype(), from.count() / entries));
  shape.front() = static_cast<std::int64_t>(rows.size());
  Tensor out(std::move(shape), from.dtype());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    BIGMODEL_ASSERT(rows[i] >= 0 && rows[i] < entries);
    std::memcpy(out.bytes() + i * size, from.bytes() + static_cast<std::size_t>(rows[i]) * size, size);
  }
  return out;
}

}  // namespace bigmodel
