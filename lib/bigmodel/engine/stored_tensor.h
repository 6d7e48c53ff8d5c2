// SPDX-License-Identifier: Apache-2.0
// Elements of a weight wherever they lie: on meta, in RAM, on a device. What hooks and loaders hand around.
#pragma once

#include <memory>
#include <vector>

#include "bigmodel/core/tensor_view.h"
#include "bigmodel/device/device.h"

namespace bigmodel {

/// Copies share the memory. `view.data` is null on meta.
struct StoredTensor {
  TensorView view;
  const Device* device = &meta_device();
  std::shared_ptr<const void> memory;    ///< what keeps the elements alive; null where the owner of the model does

  bool is_meta() const noexcept { return view.is_meta(); }
  /// Of the elements, also on meta. Throws FormatError where it does not fit 64 bits.
  std::uint64_t size_bytes() const;
};

/// On meta: a shape without elements.
StoredTensor meta_tensor(DType dtype, Shape shape);

/// In RAM or on a device, filled from `bytes` (as many as the shape takes), or with zeros where there are none.
/// Throws FormatError where the size does not fit 64 bits, CapacityError, DeviceError.
StoredTensor stored_tensor(DType dtype, Shape shape, std::span<const std::byte> bytes = {}, const Device& device = cpu_device());

/// The tensor itself where it lies there already, else a copy; to meta nothing is copied. Not from meta.
StoredTensor moved(const StoredTensor& tensor, const Device& device);

/// The tensor itself where it has that dtype, else a copy on its device, rounded as PyTorch rounds.
/// Throws UnsupportedError where checkpoint/convert_elements.h knows no way.
StoredTensor cast(const StoredTensor& tensor, DType dtype);

/// A copy of the bytes in RAM. Not from meta.
std::vector<std::byte> bytes_of(const StoredTensor& tensor);

}  // namespace bigmodel
