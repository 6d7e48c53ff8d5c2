// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/stored_tensor.h"

#include <fmt/format.h>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/core/error.h"

namespace bigmodel {

std::uint64_t StoredTensor::size_bytes() const { return static_cast<std::uint64_t>(byte_count(view.dtype, element_count(view.shape, "a tensor"))); }

StoredTensor meta_tensor(DType dtype, Shape shape) { return {{dtype, std::move(shape), nullptr}, &meta_device(), nullptr}; }

StoredTensor stored_tensor(DType dtype, Shape shape, std::span<const std::byte> bytes, const Device& device) {
  StoredTensor out = meta_tensor(dtype, std::move(shape));
  const std::uint64_t size = out.size_bytes();
  if (device.is_meta()) return out;
  const std::shared_ptr<std::byte[]> memory = device.allocate(size);
  if (bytes.empty()) {
    device.copy_in(memory.get(), std::vector<std::byte>(static_cast<std::size_t>(size)));
  } else {
    BIGMODEL_ASSERT(bytes.size() == size);
    device.copy_in(memory.get(), bytes);
  }
  out.view.data = memory.get();
  out.device = &device;
  out.memory = memory;
  return out;
}

StoredTensor moved(const StoredTensor& tensor, const Device& device) {
  if (tensor.device == &device) return tensor;
  if (device.is_meta()) return meta_tensor(tensor.view.dtype, tensor.view.shape);
  return stored_tensor(tensor.view.dtype, tensor.view.shape, bytes_of(tensor), device);
}

StoredTensor cast(const StoredTensor& tensor, DType dtype) {
  if (tensor.view.dtype == dtype) return tensor;
  if (tensor.is_meta()) return meta_tensor(dtype, tensor.view.shape);
  if (!can_convert(tensor.view.dtype, dtype)) {
    throw UnsupportedError(fmt::format("a tensor of {}: cannot be made {}", name(tensor.view.dtype), name(dtype)));
  }
  if (tensor.device == &cpu_device()) {
    StoredTensor made = meta_tensor(dtype, tensor.view.shape);
    const auto size = static_cast<std::size_t>(made.size_bytes());
    const std::shared_ptr<std::byte[]> memory = cpu_device().allocate(size);
    convert_elements(tensor.view.dtype, {tensor.view.data, static_cast<std::size_t>(tensor.size_bytes())}, dtype, {memory.get(), size});
    made.view.data = memory.get();
    made.device = &cpu_device();
    made.memory = memory;
    return made;
  }
  std::vector<std::byte> out(static_cast<std::size_t>(meta_tensor(dtype, tensor.view.shape).size_bytes()));
  convert_elements(tensor.view.dtype, bytes_of(tensor), dtype, out);
  return stored_tensor(dtype, tensor.view.shape, out, *tensor.device);
}

std::vector<std::byte> bytes_of(const StoredTensor& tensor) {
  BIGMODEL_ASSERT(!tensor.is_meta());
  std::vector<std::byte> out(static_cast<std::size_t>(tensor.size_bytes()));
  tensor.device->copy_out(tensor.view.data, out);
  return out;
}

}  // namespace bigmodel
