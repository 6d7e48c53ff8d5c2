// SPDX-License-Identifier: Apache-2.0
// Checkpoints into modules: accelerate's load_checkpoint_in_model and load_checkpoint_and_dispatch, transformers' load_sharded_checkpoint.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bigmodel/core/progress.h"
#include "bigmodel/engine/big_modeling.h"

namespace bigmodel {

/// accelerate's parameters, under their names.
struct LoadCheckpointOptions {
  /// None: every tensor goes to where the model has it (from meta to RAM).
  std::optional<DeviceMap> device_map;
  std::filesystem::path offload_folder;            ///< for "disk"; made where it is not there
  std::optional<DType> dtype;                      ///< of floating-point weights; none: the model's
  /// Weights of "cpu" take the checkpoint's dtype where `dtype` states none, as they do in accelerate, which writes them to disk and back.
  /// Nothing is written here: tensors are read one by one.
  bool offload_state_dict = false;
  bool offload_buffers = false;                    ///< buffers of "disk" modules go to disk as well; else they stay in RAM
  std::vector<std::string> keep_in_fp32_modules;   ///< stay float32 where dtype is float16
  bool offload_8bit_bnb = false;                   ///< UnsupportedError: weights are not quantised while they are loaded
  bool strict = false;                             ///< a name of the checkpoint that the model lacks is an error
  bool full_state_dict = true;                     ///< nothing here is sharded over processes: no effect
  bool broadcast_from_rank0 = false;               ///< UnsupportedError: there are no process groups
  /// Beyond accelerate: "disk" weights stay in the checkpoint's own files, nothing is written (LoadReport::offload_index).
  bool offload_in_place = false;
  DeviceTable devices;
  const Disk* disk = nullptr;                      ///< null: the real one
  WorkContext work;
};

struct LoadReport {
  Messages messages;                               ///< in the reference's words
  std::vector<std::string> unexpected_keys;        ///< of the checkpoint, sorted; names that the model does not have
  std::vector<std::string> missing_keys;           ///< of the model, in its order; the reference does not look for them
  /// Where "disk" weights are with offload_in_place (DispatchModelOptions::offload_index); uses LoadCheckpointOptions::disk.
  std::shared_ptr<const WeightsMap> offload_index;
};

/// `checkpoint`: a file of weights, an index (.json), or a folder with pytorch_model.bin, model.safetensors or one index (in this order).
/// Everything is checked by the headers first: where it throws before the reading, the model is as it was. Memory: what the map keeps, and one
/// tensor. Throws UsageError (no such checkpoint, no device for a tensor, "disk" without a folder), DeviceError, FormatError (shapes that differ,
/// strict), UnsupportedError, IoError, CancelledError.
LoadReport load_checkpoint_in_model(Module& model, const std::filesystem::path& checkpoint, const LoadCheckpointOptions& options = {});

/// The shards of a folder's index, into a model in RAM. With `strict`, FormatError naming missing and unexpected keys before anything is read.
/// `prefer_safe`: model.safetensors.index.json where both indexes are there.
LoadReport load_sharded_checkpoint(Module& model, const std::filesystem::path& folder, bool strict = true, bool prefer_safe = true);

struct LoadAndDispatchOptions {
  /// None: loaded, not dispatched. A name: "auto", "balanced", "balanced_low_0", "sequential".
  std::variant<std::monostate, std::string, DeviceMap> device_map;
  std::optional<Budgets> max_memory;               ///< of a map by name; none: the RAM that this process can take
  std::vector<std::string> no_split_module_classes;
  std::filesystem::path offload_folder;
  /// Beyond accelerate: "disk" weights are read from the checkpoint's own files, nothing is written.
  bool offload_in_place = false;
  bool offload_buffers = false;
  std::optional<DType> dtype;
  std::optional<bool> offload_state_dict;          ///< none: where the map has "disk"
  std::vector<std::string> skip_keys;
  std::vector<std::string> preload_module_classes;
  bool force_hooks = false;
  bool strict = false;
  bool full_state_dict = true;
  bool broadcast_from_rank0 = false;
  DeviceTable devices;
  const Disk* disk = nullptr;                      ///< null: the real one; must outlive the model
  WorkContext work;
};

struct DispatchReport : LoadReport {
  DeviceMap hf_device_map;                         ///< empty where nothing was dispatched
};

/// load_checkpoint_in_model, then dispatch_model.
DispatchReport load_checkpoint_and_dispatch(Module& model, const std::filesystem::path& checkpoint, const LoadAndDispatchOptions& options);

}  // namespace bigmodel
