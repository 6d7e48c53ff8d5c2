// SPDX-License-Identifier: Apache-2.0
// A small model of any described type with random float32 weights in a folder of its own.
#pragma once

#include <random>
#include <string>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/temp_folder.h"

namespace bigmodel::test {

struct RandomModel {
  /// Of a config.json, as its first class. Memory names and shapes are those of the file.
  explicit RandomModel(const std::string& config) {
    folder.write("config.json", config);
    const MetaGraph described = graph();
    const auto tree = build_module_tree(described);
    std::vector<TensorInfo> infos;
    std::int64_t elements = 0;
    tree->for_each([&](const Module& m) {
      for (const ModuleTensor& t : m.tensors()) {
        if (!t.meta->persistent) continue;
        infos.push_back({t.full_name, DType::float32, t.meta->shape});
        elements += element_count(t.meta->shape);
      }
    });
    std::string bytes = safetensors_header_bytes(infos, {});
    std::mt19937 random(5);
    std::normal_distribution<float> draw(0.0F, 0.3F);
    for (std::int64_t i = 0; i < elements; ++i) {
      const float value = draw(random);
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    folder.write("model.safetensors", bytes);
  }

  MetaGraph graph() const {
    spec::SpecLibrary library(embedded::architectures_files());
    return build_meta_graph(library, read_config(folder / "config.json"), {.class_name = "auto"});
  }

  std::unique_ptr<LoadedModel> load(const char* device, const Disk* disk = nullptr, ThreadPool* pool = nullptr) const {
    return load(DeviceMap{{"", std::string(device)}}, disk, pool);
  }
  std::unique_ptr<LoadedModel> load(DeviceMap map, const Disk* disk = nullptr, ThreadPool* pool = nullptr) const {
    DispatchOptions options;
    options.device_map = std::move(map);
    options.disk = disk;
    options.pool = pool;
    return load_checkpoint_and_dispatch(graph(), open_checkpoint(folder.path()), options);
  }

  TempFolder folder;
};

}  // namespace bigmodel::test
