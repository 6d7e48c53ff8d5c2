// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/tensor_file.h"

#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/io/atomic_file.h"

namespace bigmodel {

void write_tensor_file(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::vector<TensorInfo> unordered;
  for (const auto& [name, tensor] : tensors) unordered.push_back({name, tensor.dtype(), tensor.shape()});
  const std::vector<std::uint32_t> order = safetensors_order(unordered);
  std::vector<TensorInfo> infos;
  for (const std::uint32_t i : order) infos.push_back(unordered[i]);
  AtomicFile file(path);
  file.write(safetensors_header_bytes(infos, {}));
  for (const std::uint32_t i : order) {
    const Tensor& t = tensors[i].second;
    file.write(std::span<const std::byte>(t.bytes(), static_cast<std::size_t>(byte_count(t.dtype(), t.count()))));
  }
  file.commit();
}

}  // namespace bigmodel
