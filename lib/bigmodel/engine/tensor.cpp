// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/tensor.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/device/accelerator.h"
#include "bigmodel/ops/device_ops.h"

namespace bigmodel {

Tensor::Tensor(Shape shape, DType dtype, const Device& device) : dtype_(dtype), shape_(std::move(shape)), count_(element_count(shape_, "a tensor")), device_(&device) {
  const auto size = static_cast<std::size_t>(byte_count(dtype, std::max<std::int64_t>(count_, 1)));
  data_ = &device == &cpu_device() ? std::make_shared_for_overwrite<std::byte[]>(size) : device.allocate(size);
}

Tensor Tensor::zeros(Shape shape, const Device& device) {
  Tensor out(std::move(shape), DType::float32, device);
  if (const Accelerator* gpu = device.accelerator()) {
    gpu->operations().fill(out.data(), 0.0F, out.count_);
  } else {
    std::memset(out.bytes(), 0, static_cast<std::size_t>(byte_count(out.dtype_, out.count_)));
  }
  return out;
}

Tensor Tensor::of_ids(Shape shape, std::span<const std::int64_t> ids) {
  Tensor out(std::move(shape), DType::int64);
  BIGMODEL_ASSERT(out.count_ == static_cast<std::int64_t>(ids.size()));
  std::memcpy(out.bytes(), ids.data(), ids.size_bytes());
  return out;
}

float* Tensor::data() const {
  BIGMODEL_ASSERT(dtype_ == DType::float32 && data_ != nullptr);
  return reinterpret_cast<float*>(data_.get());
}

std::int64_t* Tensor::ids() const {
  BIGMODEL_ASSERT(dtype_ == DType::int64 && data_ != nullptr);
  return reinterpret_cast<std::int64_t*>(data_.get());
}

float* Tensor::f32() const {
  BIGMODEL_ASSERT(device_->accelerator() == nullptr);
  return data();
}

std::int64_t* Tensor::i64() const {
  BIGMODEL_ASSERT(device_->accelerator() == nullptr);
  return ids();
}

Tensor Tensor::clone() const {
  if (empty()) return {};
  const auto size = static_cast<std::size_t>(byte_count(dtype_, count_));
  const Accelerator* gpu = device_->accelerator();
  Tensor out(shape_, dtype_, *device_);
  if (gpu != nullptr) {
    gpu->queue_copy(out.bytes(), bytes(), size);
  } else {
    std::memcpy(out.bytes(), bytes(), size);
  }
  return out;
}

Tensor Tensor::to(const Device& device) const {
  if (device_ == &device || data_ == nullptr) return *this;
  if (is_meta()) throw DeviceError("a tensor on meta has no elements to move to " + device.name());
  const auto size = static_cast<std::size_t>(byte_count(dtype_, count_));
  Tensor out = *this;
  out.device_ = &device;
  if (device.is_meta()) return out;
  out.data_ = device.allocate(std::max<std::size_t>(size, 1));
  const Accelerator* from = device_->accelerator();
  const Accelerator* to = device.accelerator();
  if (from != nullptr && to != nullptr) {
    to->copy_from_peer(out.bytes(), *from, bytes(), size);
  } else if (from != nullptr) {
    device_->copy_out(bytes(), {out.bytes(), size});
  } else {
    device.copy_in(out.bytes(), {bytes(), size});
  }
  return out;
}

Tensor beside(const Tensor& other, Shape shape) { return Tensor(std::move(shape), DType::float32, other.device()); }

Tensor Tensor::reshaped(Shape shape) const {
  BIGMODEL_ASSERT(element_count(shape) == count_);
  Tensor out = *this;
  out.shape_ = std::move(shape);
  return out;
}

void add_to(const Tensor& a, const Tensor& b) { add_scaled_to(a, b, 1.0F); }

void add_scaled_to(const Tensor& a, const Tensor& b, float scale) {
  BIGMODEL_ASSERT(a.count() == b.count() && &a.device() == &b.device());
  if (const Accelerator* gpu = a.device().accelerator()) return gpu->operations().add_scaled(a.data(), b.data(), scale, a.count());
  float* to = a.f32();
  const float* from = b.f32();
  if (scale == 1.0F) {
    for (std::int64_t i = 0; i < a.count(); ++i) to[i] += from[i];
  } else {
    for (std::int64_t i = 0; i < a.count(); ++i) to[i] += scale * from[i];
  }
}

void scale_by(const Tensor& a, float factor) {
  if (const Accelerator* gpu = a.device().accelerator()) return gpu->operations().scale(a.data(), factor, a.count());
  float* to = a.f32();
  for (std::int64_t i = 0; i < a.count(); ++i) to[i] *= factor;
}

Tensor select_rows(const Tensor& from, std::span<const std::int64_t> rows) {
  Shape shape = from.shape();
  const std::int64_t entries = shape.front();
  const std::size_t size = entries == 0 ? 0 : static_cast<std::size_t>(byte_count(from.dtype(), from.count() / entries));
  shape.front() = static_cast<std::int64_t>(rows.size());
  for (const std::int64_t row : rows) BIGMODEL_ASSERT(row >= 0 && row < entries);
  Tensor out(std::move(shape), from.dtype(), from.device());
  if (const Accelerator* gpu = from.device().accelerator()) {
    const Tensor at = Tensor::of_ids({static_cast<std::int64_t>(rows.size())}, rows).to(*gpu);
    if (size > 0) gpu->operations().gather_rows(from.data(), at.ids(), at.count(), from.count() / entries, out.data());
    return out;
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(out.bytes() + i * size, from.bytes() + static_cast<std::size_t>(rows[i]) * size, size);
  }
  return out;
}

}  // namespace bigmodel
