// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, hooks.py.
#include "bigmodel/engine/hooks/attach_hooks.h"

#include <algorithm>
#include <unordered_map>

namespace bigmodel {
namespace {

bool is_preloaded(const Module& module, const AttachHooks& options) {
  return std::ranges::find(options.preload_module_classes, module.class_name()) != options.preload_module_classes.end();
}

std::string_view own_name(const Module& module) {
  const std::string_view name = module.name();
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string child_name(const std::string& parent, const Module& child) {
  return parent.empty() ? std::string(own_name(child)) : parent + "." + std::string(own_name(child));
}

AlignDevices plain_hook(const Device* device, const AttachHooks& options) {
  return {.execution_device = device, .skip_keys = options.skip_keys, .tied_params_map = options.tied_params_map};
}

struct Blocks {
  std::unordered_map<std::string, const Device*> device;
  std::unordered_map<std::string, bool> offload;
};

void attach_on_blocks(Module& module, const Blocks& blocks, const AttachHooks& options, const std::string& name) {
  const auto device = blocks.device.find(name);
  const auto offload = blocks.offload.find(name);
  const bool named = device != blocks.device.end() && offload != blocks.offload.end();
  if (named && !offload->second) {
    AlignDevices settings = plain_hook(device->second, options);
    settings.offload_buffers = options.offload_buffers;
    settings.io_same_device = name.empty();
    settings.place_submodules = true;
    add_hook_to_module(module, std::make_shared<AlignDevicesHook>(std::move(settings)));
    AttachHooks everywhere = options;
    everywhere.preload_module_classes.clear();
    attach_execution_device_hook(module, device->second, everywhere);
  } else if (named) {
    attach_align_device_hook(module, device->second, true, options, name);
    if (module.hook() == nullptr) {
      AlignDevices settings = plain_hook(device->second, options);
      settings.io_same_device = name.empty();
      add_hook_to_module(module, std::make_shared<AlignDevicesHook>(std::move(settings)));
    }
    attach_execution_device_hook(module, device->second, options);
  } else if (name.empty()) {
    AlignDevices settings = plain_hook(device == blocks.device.end() ? nullptr : device->second, options);
    settings.io_same_device = true;
    add_hook_to_module(module, std::make_shared<AlignDevicesHook>(std::move(settings)));
  }
  for (const auto& child : module.children()) attach_on_blocks(*child, blocks, options, child_name(name, *child));
}

}  // namespace

void add_hook_to_module(Module& module, std::shared_ptr<ModelHook> hook, bool append) { module.add_hook(std::move(hook), append); }

void remove_hook_from_module(Module& module, bool recurse) {
  // All or none: a module that runs may lie anywhere below.
  if (recurse) module.for_each([](const Module& m) { m.check_idle("a hook is removed"); });
  module.remove_hook();
  if (!recurse) return;
  for (const auto& child : module.children()) remove_hook_from_module(*child, true);
}

void remove_hook_from_submodules(Module& module) { remove_hook_from_module(module, true); }

void attach_execution_device_hook(Module& module, const Device* execution_device, const AttachHooks& options) {
  if (module.hook() == nullptr && !state_dict(module).empty()) {
    add_hook_to_module(module, std::make_shared<AlignDevicesHook>(plain_hook(execution_device, options)));
  }
  if (is_preloaded(module, options)) return;
  for (const auto& child : module.children()) attach_execution_device_hook(*child, execution_device, options);
}

void attach_align_device_hook(Module& module, const Device* execution_device, bool offload, const AttachHooks& options, const std::string& module_name) {
  const bool whole = offload && is_preloaded(module, options);
  if (whole || !module.tensors().empty()) {
    AlignDevices settings = plain_hook(execution_device, options);
    settings.offload = offload;
    settings.offload_buffers = options.offload_buffers;
    settings.place_submodules = whole;
    if (options.weights_map != nullptr) {
      settings.weights_map = std::make_shared<PrefixedWeights>(options.weights_map, module_name.empty() ? "" : module_name + ".");
    }
    add_hook_to_module(module, std::make_shared<AlignDevicesHook>(std::move(settings)), true);
  }
  if (whole) return;
  for (const auto& child : module.children()) attach_align_device_hook(*child, execution_device, offload, options, child_name(module_name, *child));
}

void attach_align_device_hook_on_blocks(Module& module, const BlockDevices& blocks, const AttachHooks& options) {
  const Blocks by_name{{blocks.execution_device.begin(), blocks.execution_device.end()}, {blocks.offload.begin(), blocks.offload.end()}};
  attach_on_blocks(module, by_name, options, "");
}

void attach_align_device_hook_on_blocks(Module& module, const Device* execution_device, bool offload, const AttachHooks& options) {
  if (offload) {
    AttachHooks every_module = options;
    every_module.preload_module_classes.clear();
    attach_align_device_hook(module, execution_device, true, every_module);
    return;
  }
  AlignDevices settings = plain_hook(execution_device, options);
  settings.io_same_device = true;
  settings.place_submodules = true;
  add_hook_to_module(module, std::make_shared<AlignDevicesHook>(std::move(settings)));
}

}  // namespace bigmodel
