// SPDX-License-Identifier: Apache-2.0
// Models larger than their device: accelerate's big-modeling functions on runtime modules. What `bigmodel run` uses is loaded_model.h.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/engine/hooks/attach_hooks.h"
#include "bigmodel/engine/hooks/cpu_offload_hook.h"
#include "bigmodel/engine/hooks/layerwise_casting_hook.h"
#include "bigmodel/engine/init_empty_weights.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/engine/offload.h"
#include "bigmodel/planning/infer_device_map.h"

namespace bigmodel {

struct CpuOffloadOptions {
  const Device* execution_device = nullptr;        ///< null: where the first parameter is
  bool offload_buffers = false;
  std::optional<StateDict> state_dict;             ///< what is kept in RAM; none: the model's own tensors
  std::vector<std::string> preload_module_classes;
};

/// All weights sleep in RAM and come to the execution device for their module's forward. Where it throws, no hook is left.
/// Throws UsageError for a model without parameters where no device is stated.
void cpu_offload(Module& model, const CpuOffloadOptions& options = {});

/// The model comes to the device as a whole when it runs and stays there. The hook's `offload` sends it back; where a previous model's hook
/// is given, that one is sent back first. The model must outlive the hook.
std::shared_ptr<UserCpuOffloadHook> cpu_offload_with_hook(Module& model, const Device& execution_device,
                                                          std::shared_ptr<UserCpuOffloadHook> prev_module_hook = nullptr);

struct DiskOffloadOptions {
  std::filesystem::path offload_dir;               ///< written unless an index.json is there
  const Device* execution_device = nullptr;        ///< null: where the first parameter is
  bool offload_buffers = false;
  std::vector<std::string> preload_module_classes;
  const Disk* disk = nullptr;                      ///< null: the real one; must outlive the model
};

/// All weights sleep in files and come to the execution device for their module's forward.
/// Throws IoError, FormatError (a folder that holds another model), UsageError; no hook is left then.
void disk_offload(Module& model, const DiskOffloadOptions& options);

struct DispatchModelOptions {
  DeviceMap device_map;
  const Device* main_device = nullptr;             ///< null: the map's first device that is neither "cpu" nor "disk", else the CPU
  std::optional<StateDict> state_dict;             ///< of what stays in RAM while it sleeps; none: the model's own tensors
  std::filesystem::path offload_dir;               ///< for "disk"; written unless an index.json is there
  std::shared_ptr<const WeightsMap> offload_index; ///< where "disk" weights lie already, by names from the root (CheckpointWeights)
  bool offload_buffers = false;
  std::vector<std::string> skip_keys;
  std::vector<std::string> preload_module_classes;
  bool force_hooks = false;                        ///< hooks also where everything is on one device
  DeviceTable devices;                             ///< what the map's names mean
  const Disk* disk = nullptr;                      ///< null: the real one; must outlive the model
};

/// What a call found worth saying, in the reference's words.
using Messages = std::vector<DeviceMapMessage>;

/// Moves each module to its device, or puts hooks there that bring its weights when it runs. Where it throws, no hook is left.
/// Throws UsageError (a map that leaves tensors out, "disk" without a folder), DeviceError (a device that there is none of), IoError,
/// FormatError (an offload folder that holds another model).
Messages dispatch_model(Module& model, const DispatchModelOptions& options);

}  // namespace bigmodel
