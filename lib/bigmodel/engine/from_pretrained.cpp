// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/from_pretrained.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/checkpoint/random_tensors.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/engine/auto_device_map.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

DType run_dtype(const std::string& text, const MetaGraph& graph) {
  if (text == "auto") return graph.stored_dtype.value_or(DType::float32);
  const std::optional<DType> found = find_dtype(text);
  if (!found || !is_floating_point(*found)) {
    throw UsageError(fmt::format("dtype '{}': expected a floating-point one or auto", text.substr(0, 40)), "float32, bfloat16 and float16 can be run");
  }
  return *found;
}

AutoMap map_of(const FromPretrained& options, const MetaGraph& graph, DType dtype) {
  if (const auto* map = std::get_if<DeviceMap>(&options.device_map)) return {*map};
  if (std::holds_alternative<std::monostate>(options.device_map)) return {{{"", std::string("cpu")}}};
  const std::string& name = std::get<std::string>(options.device_map);
  if (name == "cpu" || name == "disk") return {{{"", name}}};
  if (options.devices != nullptr && options.devices->find(name) != nullptr) return {{{"", name}}};
  if (name != "auto") throw UsageError(fmt::format("device_map '{}': expected auto, cpu, disk or a map", name.substr(0, 40)));
  const std::int64_t ram = options.max_memory_bytes > 0 ? options.max_memory_bytes : static_cast<std::int64_t>(read_machine_info().memory.usable_bytes());
  return auto_device_map(graph, {.dtype = dtype, .accelerator_bytes = options.max_accelerator_bytes, .sliceable = sliceable_weights(graph), .ram_bytes = ram});
}

}  // namespace

std::unique_ptr<LoadedModel> from_pretrained(spec::SpecLibrary& library, const fs::path& folder, const FromPretrained& options) {
  const Config config = read_config(folder / "config.json");
  MetaGraph graph = build_meta_graph(library, config, {.class_name = options.class_name});
  const DType dtype = run_dtype(options.dtype, graph);
  AutoMap map = map_of(options, graph, dtype);
  return load_checkpoint_and_dispatch(std::move(graph), open_checkpoint(folder, {.disk = options.disk}),
                                      {.device_map = std::move(map.device_map), .devices = options.devices, .main_device = options.main_device, .reads_ahead = map.reads_ahead, .dtype = dtype, .quantization = quantization_method(config), .casting = options.casting, .config_text = config.text, .disk = options.disk, .pool = options.pool, .work = options.work});
}

std::unique_ptr<LoadedModel> from_config(spec::SpecLibrary& library, const Config& config, const std::string& dtype, std::uint64_t seed) {
  MetaGraph graph = build_meta_graph(library, config, {.class_name = "auto"});
  const DType run = run_dtype(dtype, graph);
  std::vector<RandomTensor> tensors;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (!visit.tied_to.empty() || !visit.tensor.persistent) return;
    RandomTensor t;
    t.name = visit.name;
    t.dtype = resolved_dtype(visit.tensor, run);
    t.shape = visit.tensor.shape;
    if (visit.is_buffer || !is_floating_point(t.dtype)) {
      t.fill.kind = TensorFill::Kind::zeros;
    } else if (t.shape.size() > 1) {
      t.fill = {.kind = TensorFill::Kind::normal, .deviation = 0.02F};
    } else {
      t.fill.kind = visit.tensor.name.ends_with("weight") ? TensorFill::Kind::ones : TensorFill::Kind::zeros;
    }
    tensors.push_back(std::move(t));
  });
  return load_checkpoint_and_dispatch(std::move(graph), random_checkpoint(std::move(tensors), seed), {.dtype = run, .config_text = config.text});
}

ShardReport save_pretrained(const LoadedModel& model, const fs::path& folder, const SavePretrained& options) {
  static const Disk kReal;
  EditedCheckpoint edited{model.weights().checkpoint(), nullptr, {}};
  std::vector<std::unique_ptr<ScratchFolder>> scratch;
  for (const CheckpointEdit& edit : model.edits()) {
    edited = edit_checkpoint(edited.checkpoint, edit, folder, kReal, options.work);
    scratch.push_back(std::move(edited.scratch));
  }
  const Checkpoint& checkpoint = edited.checkpoint;
  ShardJob job = plan_shard_job(checkpoint, {.max_shard_size_bytes = options.max_shard_size_bytes, .format = options.format, .dtype = model.dtype()});
  const auto is_config = [](const fs::path& p) { return p.filename() == "config.json"; };
  if (!model.config_text().empty() && (!model.edits().empty() || std::ranges::none_of(job.side_files, is_config))) {
    std::erase_if(job.side_files, is_config);
    job.side_texts.emplace_back("config.json", model.config_text());
  }
  return write_shards(checkpoint, job, {.output = folder, .force = options.force}, options.work);
}

std::int64_t num_parameters(const MetaGraph& graph, bool exclude_embeddings) {
  std::int64_t total = 0;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (visit.is_buffer || !visit.tied_to.empty()) return;
    if (exclude_embeddings && visit.module.layer_kind == "Embedding") return;
    total = checked_add(total, element_count(visit.tensor.shape, visit.name), "num_parameters");
  });
  return total;
}

std::uint64_t get_memory_footprint(const MetaGraph& graph, DType dtype, bool return_buffers) {
  std::int64_t total = 0;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (!visit.tied_to.empty() || (visit.is_buffer && !return_buffers)) return;
    total = checked_add(total, byte_count(resolved_dtype(visit.tensor, dtype), element_count(visit.tensor.shape, visit.name)), "get_memory_footprint");
  });
  return static_cast<std::uint64_t>(total);
}

double floating_point_ops(const MetaGraph& graph, std::int64_t tokens, bool exclude_embeddings) {
  return 6.0 * static_cast<double>(tokens) * static_cast<double>(num_parameters(graph, exclude_embeddings));
}

}  // namespace bigmodel
