// SPDX-License-Identifier: Apache-2.0
// Made-up weights of every stored dtype for the tests of kernels, with the values that they stand for.
#pragma once

#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/element_values.cuh"

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "bigmodel/ops/widen.h"

namespace bigmodel::test {

inline std::vector<float> random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

/// A tensor in a device's memory, at `offset_bytes` from an aligned address, and its values in RAM.
struct StoredTensor {
  StoredTensor(const Device& device, DType dtype, Shape shape, unsigned seed, std::size_t offset_bytes = 0) {
    const std::int64_t count = element_count(shape);
    std::vector<std::byte> bytes(static_cast<std::size_t>(byte_count(dtype, count)));
    std::mt19937 random(seed);
    if (block_size(dtype) > 1) {
      // Any bytes are blocks; factors of moderate size keep the sums finite.
      for (std::byte& b : bytes) b = static_cast<std::byte>(random());
      for (std::size_t at = 1; at < bytes.size(); at += static_cast<std::size_t>(byte_count(dtype, 32))) bytes[at] = static_cast<std::byte>(0x2CU | (random() & 0x80U));
    } else {
      const std::vector<float> wide = random_floats(count, seed);
      for (std::size_t i = 0; i < wide.size(); ++i) {
        const std::uint16_t half = dtype == DType::bfloat16 ? ops::float_to_bf16(wide[i]) : ops::float_to_f16(wide[i]);
        if (dtype == DType::float32) {
          std::memcpy(bytes.data() + 4 * i, &wide[i], 4);
        } else {
          std::memcpy(bytes.data() + 2 * i, &half, 2);
        }
      }
    }
    values.resize(static_cast<std::size_t>(count));
    ops::widen({dtype, shape, bytes.data()}, 0, count, values.data());
    memory = std::make_unique<DeviceArray<std::byte>>(device, std::span<const std::byte>(bytes), offset_bytes);
    view = {dtype, std::move(shape), memory->data()};
  }

  TensorView view;
  std::vector<float> values;

 private:
  std::unique_ptr<DeviceArray<std::byte>> memory;
};

inline constexpr DType kStoredDTypes[] = {DType::float32, DType::bfloat16, DType::float16, DType::q8_0, DType::q4_0};

}  // namespace bigmodel::test
