// SPDX-License-Identifier: Apache-2.0
// transformers' way in and out: from_pretrained, from_config, save_pretrained, and what they say of a model's size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/model/build_meta_graph.h"

namespace bigmodel {

struct FromPretrained {
  std::string class_name = "auto";        ///< the config's own class, "base", or a class by its Python name
  /// None: all weights in RAM. "auto": on accelerators, then in RAM while they fit into what is given, else read from the model's files in every
  /// pass. The name of an accelerator ("cuda:0", "0"): all there.
  std::variant<std::monostate, std::string, DeviceMap> device_map;
  std::int64_t max_memory_bytes = 0;      ///< of RAM, for "auto"; 0: what this process can take
  /// Accelerators that a map may name and "auto" fills first; none: the processor computes. The table and its devices must outlive the model.
  const DeviceTable* devices = nullptr;
  const Device* main_device = nullptr;    ///< as DispatchOptions::main_device
  /// For "auto": number of each accelerator that may be used, and what it may take.
  std::vector<std::pair<std::int64_t, std::int64_t>> max_accelerator_bytes;
  std::string dtype = "float32";          ///< what the model is run in; "auto": the config's
  std::optional<LayerwiseCasting> casting;   ///< weights of linear layers kept smaller than they are run in (DispatchOptions::casting)
  const Disk* disk = nullptr;             ///< nullptr: the real one
  ThreadPool* pool = nullptr;             ///< must outlive the model
  WorkContext work;
};

/// A folder with a config and a checkpoint (hub/cache.h and hub/download.h give that of a name on the Hub and its revision).
/// Throws UsageError (a dtype that is not floating-point, another device_map), what build_meta_graph, open_checkpoint and
/// load_checkpoint_and_dispatch throw, UnsupportedError naming the method of a quantised model.
std::unique_ptr<LoadedModel> from_pretrained(spec::SpecLibrary& library, const std::filesystem::path& folder, const FromPretrained& options = {});

/// The model with made-up weights: matrices normal around 0 with deviation 0.02, norms ones, the rest zeros.
std::unique_ptr<LoadedModel> from_config(spec::SpecLibrary& library, const Config& config, const std::string& dtype = "float32", std::uint64_t seed = 0);

struct SavePretrained {
  std::uint64_t max_shard_size_bytes = 50'000'000'000;
  OutputFormat format = OutputFormat::safetensors;   ///< or bin
  bool force = false;                                ///< an existing folder's weights are replaced
  WorkContext work;
};

/// Weights in the dtype that the model runs in, cut into shards, with its config, generation_config and the other files beside them; of tied names
/// one is kept. A model that was changed (engine/model_surgery.h) is written as it is now, with its config. The folder appears whole or not at all. Weights pass through in chunks, wherever they lie.
/// Throws what plan_shard_job and write_shards throw.
ShardReport save_pretrained(const LoadedModel& model, const std::filesystem::path& folder, const SavePretrained& options = {});

/// Elements of all parameters, tied ones once; `exclude_embeddings`: without those of embedding tables.
std::int64_t num_parameters(const MetaGraph& graph, bool exclude_embeddings = false);
/// Bytes of parameters (tied once) and, with `return_buffers`, buffers where the model is loaded in `dtype`.
std::uint64_t get_memory_footprint(const MetaGraph& graph, DType dtype, bool return_buffers = true);
/// 6 per token and parameter (a forward and a backward pass).
double floating_point_ops(const MetaGraph& graph, std::int64_t tokens, bool exclude_embeddings = true);

}  // namespace bigmodel
