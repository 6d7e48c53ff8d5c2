// SPDX-License-Identifier: Apache-2.0
// Writes the data.pkl of a plain state dict: protocol 2, only what torch.load(weights_only=True) allows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/core/tensor_info.h"

namespace bigmodel {

struct PickleStorageRef {
  std::uint64_t key = 0;         ///< the record data/KEY
  std::uint64_t size_bytes = 0;
  DType dtype = DType::float32;  ///< of the storage
};

class PickleWriter {
 public:
  PickleWriter();
  /// `offset_bytes` into the storage; `strides` in elements, empty: contiguous.
  /// Throws UnsupportedError where the offset is no whole element.
  void tensor(const TensorInfo& info, const PickleStorageRef& storage, std::uint64_t offset_bytes, const std::vector<std::int64_t>& strides);
  std::string finish();

 private:
  void integer(std::uint64_t value);
  void text(std::string_view value);
  void global(std::string_view module, std::string_view name);
  void tuple(const std::vector<std::int64_t>& values);

  std::string out_;
};

}  // namespace bigmodel
