// SPDX-License-Identifier: Apache-2.0
// Hooks on whole models: adding and removing them, and AlignDevicesHooks on every module that needs one. The names are accelerate's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/engine/hooks/align_devices_hook.h"

namespace bigmodel {

/// Replaces the module's hook; with `append` both run, the new one after it.
void add_hook_to_module(Module& module, std::shared_ptr<ModelHook> hook, bool append = false);
/// The module's hook is detached; with `recurse` those below it too.
void remove_hook_from_module(Module& module, bool recurse = false);
/// The same as with `recurse`.
void remove_hook_from_submodules(Module& module);

/// What the attach_ functions share.
struct AttachHooks {
  std::shared_ptr<const WeightsMap> weights_map;     ///< by names from the root
  bool offload_buffers = false;
  std::vector<std::string> skip_keys;
  /// Classes that load everything below them at once: those that read a child's weights without calling it.
  std::vector<std::string> preload_module_classes;
  std::shared_ptr<TiedParamsMap> tied_params_map;
};

/// A hook without offload on every module of the state dict that has none yet. Does not go below preload classes.
void attach_execution_device_hook(Module& module, const Device* execution_device, const AttachHooks& options = {});

/// A hook on every module that has tensors of its own, after the hook that is there; one with place_submodules on preload classes.
/// `module_name`: what names of the weights map have in front.
void attach_align_device_hook(Module& module, const Device* execution_device, bool offload, const AttachHooks& options = {},
                              const std::string& module_name = {});

/// By block: module name -> device, and module name -> whether it is offloaded.
struct BlockDevices {
  std::vector<std::pair<std::string, const Device*>> execution_device;
  std::vector<std::pair<std::string, bool>> offload;
};

/// A hook on every module that the map names (offloaded ones as attach_align_device_hook does); the root gives its output back to where
/// the input was.
void attach_align_device_hook_on_blocks(Module& module, const BlockDevices& blocks, const AttachHooks& options = {});
/// The whole module is one block: not offloaded with a single hook, else with one per module that has tensors.
void attach_align_device_hook_on_blocks(Module& module, const Device* execution_device, bool offload, const AttachHooks& options = {});

}  // namespace bigmodel
