// SPDX-License-Identifier: Apache-2.0
// The record of one case of the run goldens, and the model folder that it belongs to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/device/accelerator.h"
#include "bigmodel/engine/loaded_model.h"

namespace bigmodel::test {

/// expected.json and expected.safetensors of a folder.
struct Expected {
  explicit Expected(const std::filesystem::path& folder);

  bool has(const std::string& name) const { return file.find(name) != nullptr; }
  Shape shape(const std::string& name) const { return file.find(name)->shape; }
  std::vector<std::byte> bytes(const std::string& name) const;
  std::vector<float> floats(const std::string& name) const;
  std::vector<std::int64_t> ids(const std::string& name) const;
  double tolerance() const { return json.at("tolerance_fp32_max_abs").get<double>(); }

  nlohmann::ordered_json json;
  Checkpoint file;
};

/// Infinite where the counts differ; NaN differs from everything.
double largest_difference(std::span<const float> a, std::span<const float> b);
std::span<const float> floats_of(const Tensor& t);

/// An input of the record, as the engine takes it: ids as int64, all else as float32.
Tensor input_of(const Expected& expected, const std::string& name);

/// While it lives, load_case() loads for an accelerator: "cpu" then means its memory, and weights on "disk" are computed there.
class OnAccelerator {
 public:
  explicit OnAccelerator(const Accelerator& device);
  ~OnAccelerator();
  OnAccelerator(const OnAccelerator&) = delete;
  OnAccelerator& operator=(const OnAccelerator&) = delete;
};

/// The folder's model with all its weights on one device.
std::unique_ptr<LoadedModel> load_case(const std::filesystem::path& folder, DType dtype, const char* device);

}  // namespace bigmodel::test
