// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/random_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// splitmix64's step: every bit of the input stirs every bit of the output.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::uint64_t stream_of(std::uint64_t seed, std::string_view name) {
  std::uint64_t state = mix(seed);
  for (const char c : name) state = mix(state ^ static_cast<unsigned char>(c));
  return state;
}

/// The sum of four uniform 16-bit numbers, centred and scaled to deviation 1: near a normal distribution, within 3.47 of 0.
float near_normal(std::uint64_t bits) {
  const auto sum = static_cast<std::int64_t>((bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48));
  constexpr float kScale = 1.0F / 37837.2F;  // 65536 * sqrt(4 / 12)
  return static_cast<float>(sum - 131070) * kScale;
}

float float_at(const TensorFill& fill, std::uint64_t stream, std::uint64_t index) {
  switch (fill.kind) {
    case TensorFill::Kind::zeros: return 0;
    case TensorFill::Kind::ones: return 1;
    case TensorFill::Kind::arange: return static_cast<float>(index % std::max<std::uint64_t>(fill.period, 1));
    case TensorFill::Kind::normal: return near_normal(mix(stream + index * 0x9e3779b97f4a7c15)) * fill.deviation;
  }
  return 0;
}

bool is_whole_number(DType dtype) {
  switch (dtype) {
    case DType::uint8: case DType::uint16: case DType::uint32: case DType::uint64:
    case DType::int8: case DType::int16: case DType::int32: case DType::int64: return true;
    default: return false;
  }
}

}  // namespace

void make_elements(const CheckpointTensor& tensor, std::uint64_t first, std::span<std::byte> out) {
  BIGMODEL_ASSERT(tensor.made.has_value());
  const TensorFill& fill = *tensor.made;
  const auto item = static_cast<std::size_t>(bit_size(tensor.dtype)) / 8;
  if (can_convert(DType::float32, tensor.dtype)) {
    const std::uint64_t stream = stream_of(fill.seed, tensor.name);
    std::array<float, 4096> block;
    while (!out.empty()) {
      const std::size_t count = std::min(block.size(), out.size() / item);
      for (std::size_t i = 0; i < count; ++i) block[i] = float_at(fill, stream, first + i);
      convert_elements(DType::float32, std::as_bytes(std::span(block).first(count)), tensor.dtype, out.first(count * item));
      out = out.subspan(count * item);
      first += count;
    }
    return;
  }
  std::ranges::fill(out, std::byte{0});
  if (!is_whole_number(tensor.dtype) || fill.kind == TensorFill::Kind::zeros || fill.kind == TensorFill::Kind::normal) return;
  for (std::size_t at = 0; at < out.size(); at += item, ++first) {
    const std::uint64_t value = fill.kind == TensorFill::Kind::ones ? 1 : first % std::max<std::uint64_t>(fill.period, 1);
    std::memcpy(out.data() + at, &value, item);
  }
}

Checkpoint random_checkpoint(std::vector<RandomTensor> tensors, std::uint64_t seed) {
  Checkpoint out;
  out.path = fmt::format("random, seed {}", seed);
  out.files.push_back({.path = out.path, .name = out.path.string(), .container = Container::made, .identity = {}, .metadata = {}});
  std::uint64_t offset = 0;
  for (RandomTensor& from : tensors) {
    CheckpointTensor tensor;
    static_cast<TensorInfo&>(tensor) = std::move(static_cast<TensorInfo&>(from));
    if (bit_size(tensor.dtype) % 8 != 0) throw UnsupportedError(fmt::format("tensor \"{}\": elements of {} cannot be made", tensor.name, name(tensor.dtype)));
    tensor.size_bytes = tensor.storage_bytes = static_cast<std::uint64_t>(byte_count(tensor.dtype, element_count(tensor.shape, tensor.name)));
    tensor.offset = tensor.storage_offset = offset;
    tensor.storage = out.tensors.size();
    tensor.made = from.fill;
    tensor.made->seed = seed;
    offset = checked_add(offset, tensor.size_bytes, "checkpoint");
    out.tensors.push_back(std::move(tensor));
  }
  return out;
}

}  // namespace bigmodel
