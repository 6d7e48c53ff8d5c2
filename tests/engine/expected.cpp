// SPDX-License-Identifier: Apache-2.0
#include "engine/expected.h"

#include <cmath>
#include <cstring>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/io/json.h"
#include "bigmodel/model/build_meta_graph.h"

namespace bigmodel::test {

namespace fs = std::filesystem;

Expected::Expected(const fs::path& folder) : json(read_json_file(folder / "expected.json")), file(open_checkpoint(folder / "expected.safetensors")) {}

std::vector<std::byte> Expected::bytes(const std::string& name) const {
  const Disk disk;
  return TensorReader(file, disk).read_all(*file.find(name));
}

std::vector<float> Expected::floats(const std::string& name) const {
  const std::vector<std::byte> raw = bytes(name);
  std::vector<float> out(static_cast<std::size_t>(element_count(shape(name))));
  convert_elements(file.find(name)->dtype, raw, DType::float32, std::as_writable_bytes(std::span(out)));
  return out;
}

std::vector<std::int64_t> Expected::ids(const std::string& name) const {
  const std::vector<std::byte> raw = bytes(name);
  std::vector<std::int64_t> out(raw.size() / 8);
  std::memcpy(out.data(), raw.data(), raw.size());
  return out;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double out = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= out)) out = d;
  }
  return out;
}

std::span<const float> floats_of(const Tensor& t) { return {t.f32(), static_cast<std::size_t>(t.count())}; }

Tensor input_of(const Expected& expected, const std::string& name) {
  const CheckpointTensor& t = *expected.file.find(name);
  if (t.dtype == DType::int64) return Tensor::of_ids(t.shape, expected.ids(name));
  const std::vector<float> values = expected.floats(name);
  Tensor out(t.shape);
  std::memcpy(out.bytes(), values.data(), values.size() * sizeof(float));
  return out;
}

namespace {
const Accelerator* accelerator = nullptr;
DeviceTable accelerators;
}  // namespace

OnAccelerator::OnAccelerator(const Accelerator& device) {
  accelerator = &device;
  accelerators = DeviceTable({&device});
}
OnAccelerator::~OnAccelerator() { accelerator = nullptr; }

std::unique_ptr<LoadedModel> load_case(const fs::path& folder, DType dtype, const char* device) {
  spec::SpecLibrary library(embedded::architectures_files());
  const Config config = read_config(folder / "config.json");
  DispatchOptions options;
  options.dtype = dtype;
  options.quantization = quantization_method(config);
  options.device_map = {{"", std::string(device)}};
  if (accelerator != nullptr) {
    options.devices = &accelerators;
    options.main_device = accelerator;
    if (std::string(device) == "cpu") options.device_map = {{"", accelerator->name()}};
  }
  return load_checkpoint_and_dispatch(build_meta_graph(library, config, {.class_name = "auto"}), open_checkpoint(folder), options);
}

}  // namespace bigmodel::test
