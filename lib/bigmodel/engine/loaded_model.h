// SPDX-License-Identifier: Apache-2.0
// A described model with the weights of its checkpoint, resident or streamed: what `bigmodel run` itself loads and runs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/core/progress.h"
#include "bigmodel/device/device.h"
#include "bigmodel/engine/cache.h"
#include "bigmodel/engine/checkpoint_edit.h"
#include "bigmodel/engine/device_streamer.h"
#include "bigmodel/engine/hooks/layerwise_casting_hook.h"
#include "bigmodel/engine/module.h"
#include "bigmodel/engine/prefetcher.h"
#include "bigmodel/engine/weight_store.h"
#include "bigmodel/io/disk.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/device_map.h"

namespace bigmodel {

struct DispatchOptions {
  /// "cpu" (RAM), "disk" (streamed from the checkpoint's own files) and the accelerators of `devices`, which then compute all that they can.
  DeviceMap device_map = {{"", std::string("cpu")}};
  const DeviceTable* devices = nullptr;                ///< nullptr: no accelerators. Must outlive the model
  /// Computes what the map places on "cpu" and "disk" where its block can. nullptr: the first accelerator of the map, else the processor.
  const Device* main_device = nullptr;
  bool reads_ahead = true;                             ///< false: the processor's streamed weights have one slot fewer, and each is waited for
  DType dtype = DType::float32;                        ///< what the weights are run in
  QuantizationMethod quantization;                     ///< of the checkpoint: quantization_method(config)
  std::optional<DType> quantize;                       ///< q8_0 or q4_0: quantizable_weights() are put into such blocks when they are read
  /// Made-up tensors (random_tensors.h) by memory names, for what the checkpoint lacks; none: a missing tensor is an error.
  std::optional<Checkpoint> initial;
  /// Weights of the layers that it chooses are kept in its storage dtype (rounded once, by way of `dtype`), in RAM as in streaming slots, and
  /// cast for the time of their layer's forward by LayerwiseCastingHooks. Layers that a block reads without calling them, and those with a
  /// tensor that is tied to another layer's, are left alone.
  std::optional<LayerwiseCasting> casting;
  /// config.json of the model, for what changes it (engine/model_surgery.h) and for saving; empty: neither.
  std::string config_text;
  const Disk* disk = nullptr;                          ///< nullptr: the real one
  ThreadPool* pool = nullptr;                          ///< shares out the work of a pass; nullptr: the calling thread alone. Must outlive the model
  CpuIsa isa = best_cpu_isa();
  WorkContext work;
};

struct Placement {
  std::uint64_t ram_bytes = 0;        ///< of weights that stay in memory
  std::uint64_t disk_bytes = 0;       ///< of weights that are read anew in every pass, all of them or the parts that it wants
  std::uint64_t sliced_bytes = 0;     ///< of those on disk of which a pass reads rows or experts
  std::uint64_t slot_bytes = 0;       ///< of memory that they are read into
  std::map<std::string, std::uint64_t> device_bytes;   ///< of memory of accelerators for weights, slots for those that come and go included, by device
};

/// A model that runs: the module tree with its weights in RAM or behind hooks. One thread at a time.
class LoadedModel {
 public:
  /// Runs the root. `state` says batch, length, positions and cache. What comes out lies where the first argument does.
  Tensor forward(Arguments arguments, ForwardState& state) {
    if (state.cpu == nullptr) state.cpu = &cpu_;
    state.accelerator_cache = accelerator_cache_;
    const bool from_ram = arguments.empty() || arguments.front().device().accelerator() == nullptr;
    Tensor out = (*root_)(std::move(arguments), state);
    if (from_ram) bring_back(state);
    return out;
  }
  Tensor forward(const Tensor& input, ForwardState& state) { return forward(Arguments{input}, state); }

  Module& root() noexcept { return *root_; }
  const MetaGraph& graph() const noexcept { return graph_; }
  const Placement& placement() const noexcept { return placement_; }
  const DeviceMap& hf_device_map() const noexcept { return device_map_; }
  const WeightStore& weights() const noexcept { return *store_; }
  /// What the weights are run in.
  DType dtype() const noexcept { return dtype_; }
  /// config.json as the model is now; empty where it was loaded without one.
  const std::string& config_text() const noexcept { return config_text_; }
  /// What was changed since it was loaded, in order, for its files.
  const std::vector<CheckpointEdit>& edits() const noexcept { return edits_; }
  /// Modules that the device map placed on an accelerator, but whose blocks have no kernels: the processor computes them, and what lies below.
  const std::vector<std::string>& left_to_processor() const noexcept { return left_to_processor_; }
  /// The accelerator that computes everything with weights that lie there; null where several devices take part, or weights come and go.
  const Accelerator* only_accelerator() const noexcept { return only_accelerator_; }
  const Prefetcher* prefetcher() const noexcept { return prefetcher_.get(); }

 private:
  /// What a pass left on accelerators, to RAM.
  static void bring_back(ForwardState& state);
  friend std::unique_ptr<LoadedModel> load_checkpoint_and_dispatch(MetaGraph, Checkpoint, const DispatchOptions&);
  friend class Surgeon;
  friend class Dispatcher;
  LoadedModel(MetaGraph graph, Checkpoint checkpoint, std::optional<Checkpoint> initial);

  MetaGraph graph_;
  Checkpoint checkpoint_;
  std::optional<Checkpoint> initial_;
  DeviceMap device_map_;
  DType dtype_ = DType::float32;
  std::string config_text_;
  std::vector<CheckpointEdit> edits_;
  Placement placement_;
  CpuContext cpu_;
  DType accelerator_cache_ = DType::float32;
  std::vector<std::string> left_to_processor_;
  const Accelerator* only_accelerator_ = nullptr;
  std::unique_ptr<WeightStore> store_;
  std::vector<std::shared_ptr<std::byte[]>> resident_;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::vector<std::unique_ptr<DeviceStreamer>> streamers_;   ///< one for each accelerator that weights are brought to in every pass
  std::unique_ptr<Module> root_;          ///< last: its hooks use the prefetcher and the streamers
};

/// Builds the tree, binds blocks by the description's roles, and places the weights: "cpu" ones are read now, "disk" ones in every pass.
/// The graph must have its disk rules. Throws UnsupportedError (by name, where roles are missing or cannot be run), FormatError (missing
/// or misshapen tensors, with a list), DeviceError (a device that there is none of), UsageError (a map that leaves a module out), IoError,
/// CancelledError.
std::unique_ptr<LoadedModel> load_checkpoint_and_dispatch(MetaGraph graph, Checkpoint checkpoint, const DispatchOptions& options);

/// Throws UnsupportedError where the model's roles cannot be run; reads no weights.
void check_runnable(const MetaGraph& graph);
/// Names of the weights that, streamed, are not read whole by the processor but in the slices that a pass wants: rows of embeddings, experts. Throws as check_runnable does.
std::vector<std::string> sliceable_weights(const MetaGraph& graph);

/// Names of the weights that such casting keeps in its storage dtype. Throws UsageError, and what check_runnable throws.
std::unordered_set<std::string> layerwise_cast_weights(const MetaGraph& graph, const LayerwiseCasting& casting);

/// The graph with those weights in the storage dtype, for planning.
MetaGraph with_layerwise_casting(const MetaGraph& graph, const LayerwiseCasting& casting);

}  // namespace bigmodel
