// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/tensor_file.h"

#include <fmt/format.h>

#include <cstring>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/atomic_file.h"

namespace bigmodel {

namespace {

template <typename T>
void widen_integers(std::span<const std::byte> raw, const Tensor& out) {
  for (std::int64_t i = 0; i < out.count(); ++i) {
    T v;
    std::memcpy(&v, raw.data() + static_cast<std::size_t>(i) * sizeof v, sizeof v);
    out.i64()[i] = static_cast<std::int64_t>(v);
  }
}

Tensor tensor_of(const CheckpointTensor& t, std::span<const std::byte> raw) {
  if (is_floating_point(t.dtype) && can_convert(t.dtype, DType::float32)) {
    Tensor out(t.shape);
    convert_elements(t.dtype, raw, DType::float32, {out.bytes(), static_cast<std::size_t>(out.count()) * sizeof(float)});
    return out;
  }
  Tensor out(t.shape, DType::int64);
  switch (t.dtype) {
    case DType::boolean:
    case DType::uint8: widen_integers<std::uint8_t>(raw, out); return out;
    case DType::int8: widen_integers<std::int8_t>(raw, out); return out;
    case DType::int16: widen_integers<std::int16_t>(raw, out); return out;
    case DType::int32: widen_integers<std::int32_t>(raw, out); return out;
    case DType::int64: widen_integers<std::int64_t>(raw, out); return out;
    default: throw UnsupportedError(fmt::format("tensor '{}': {}, expected numbers or ids", t.name, name(t.dtype)));
  }
}

}  // namespace

std::map<std::string, Tensor> read_tensor_file(const std::filesystem::path& path) {
  const Checkpoint file = open_checkpoint(path);
  const Disk disk;
  TensorReader reader(file, disk);
  std::map<std::string, Tensor> out;
  for (const CheckpointTensor& t : file.tensors) out.emplace(t.name, tensor_of(t, reader.read_all(t)));
  return out;
}

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
