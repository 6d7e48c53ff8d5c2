// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, hooks.py, AlignDevicesHook.
#include "bigmodel/engine/hooks/align_devices_hook.h"

#include <fmt/format.h>

#include <algorithm>

namespace bigmodel {

std::vector<NamedTensor> AlignDevicesHook::tensors(Module& module, bool include_buffers, bool remove_non_persistent) const {
  std::vector<NamedTensor> out = named_module_tensors(
      module, {.include_buffers = include_buffers, .recurse = settings_.place_submodules, .remove_non_persistent = remove_non_persistent});
  if (settings_.only) std::erase_if(out, [&](const NamedTensor& t) { return !settings_.only(*t.tensor); });
  return out;
}

void AlignDevicesHook::init_hook(Module& module) {
  const Device* const device = settings_.execution_device;
  // What lies on meta has no address by which a tie could be known.
  if (device != nullptr && device->is_meta()) settings_.tied_params_map = nullptr;
  const SetTensor keep{.tied = settings_.tied_params_map.get()};
  if (!settings_.offload) {
    if (device == nullptr) return;
    for (const NamedTensor& t : tensors(module, true, false)) set_module_tensor_to_device(module, t.name, device, keep);
    return;
  }
  original_devices_.clear();
  for (const NamedTensor& t : tensors(module, true, false)) original_devices_.emplace_back(t.name, t.tensor->device);
  if (settings_.weights_map == nullptr) {
    StateDict own;
    for (const NamedTensor& t : named_module_tensors(
             module, {.include_buffers = settings_.offload_buffers, .recurse = settings_.place_submodules, .all_names = true})) {
      own.emplace_back(t.name, t.tensor->is_meta() ? StoredTensor(*t.tensor) : moved(*t.tensor, cpu_device()));
    }
    settings_.weights_map = std::make_shared<StateDictWeights>(own);
  }
  for (const NamedTensor& t : tensors(module, settings_.offload_buffers, true)) {
    if (settings_.tied_params_map != nullptr && settings_.tied_params_map->holds(*t.tensor)) tied_names_.push_back(t.name);
    set_module_tensor_to_device(module, t.name, &meta_device());
  }
  if (device == nullptr) return;
  // Buffers that are not offloaded go to the device once and stay.
  for (const NamedTensor& t : tensors(module, true, false)) {
    if (!t.tensor->is_buffer || (settings_.offload_buffers && t.tensor->meta->persistent)) continue;
    set_module_tensor_to_device(module, t.name, device, keep);
  }
}

void AlignDevicesHook::onload(Module& module) {
  TiedParamsMap* const tied = settings_.tied_params_map.get();
  for (const NamedTensor& t : tensors(module, settings_.offload_buffers, true)) {
    StoredTensor value = settings_.weights_map->at(t.name);
    if (tied != nullptr && std::ranges::find(tied_names_, t.name) != tied_names_.end()) tied->add(value);
    if (tied != nullptr && tied->holds(value) && tied->find(value, settings_.execution_device) == nullptr) {
      tied_to_remove_.emplace_back(value, settings_.execution_device);
    }
    set_module_tensor_to_device(module, t.name, settings_.execution_device, {.value = std::move(value), .tied = tied});
  }
}

void AlignDevicesHook::offload(Module& module) {
  for (const NamedTensor& t : tensors(module, settings_.offload_buffers, true)) set_module_tensor_to_device(module, t.name, &meta_device());
  forget_tied();
}

void AlignDevicesHook::forget_tied() {
  for (const auto& [value, device] : tied_to_remove_) settings_.tied_params_map->remove(value, device);
  tied_to_remove_.clear();
}

void AlignDevicesHook::pre_forward(Module& module, Arguments& arguments, ForwardState&) {
  if (settings_.io_same_device) input_device_ = arguments.empty() ? nullptr : &arguments.front().device();
  if (settings_.offload) onload(module);
  if (settings_.execution_device == nullptr) return;
  for (Tensor& argument : arguments) argument = argument.to(*settings_.execution_device);
}

void AlignDevicesHook::post_forward(Module& module, Tensor& output, ForwardState&) {
  if (settings_.offload) offload(module);
  if (settings_.io_same_device && input_device_ != nullptr) output = output.to(*input_device_);
}

void AlignDevicesHook::abandon_forward(Module& module) noexcept {
  if (!settings_.offload) return;
  for (const NamedTensor& t : tensors(module, settings_.offload_buffers, true)) t.tensor->set(meta_tensor(t.tensor->view.dtype, t.tensor->view.shape));
  forget_tied();
}

void AlignDevicesHook::detach_hook(Module& module) {
  if (!settings_.offload) return;
  for (const auto& [name, device] : original_devices_) {
    if (!device->is_meta()) set_module_tensor_to_device(module, name, device, {.value = settings_.weights_map->find(name)});
  }
}

std::string AlignDevicesHook::describe() const {
  const auto python = [](bool value) { return value ? "True" : "False"; };
  std::string keys = settings_.skip_keys.empty() ? "None" : "[";
  for (std::size_t i = 0; i < settings_.skip_keys.size(); ++i) keys += fmt::format("{}'{}'", i == 0 ? "" : ", ", settings_.skip_keys[i]);
  if (!settings_.skip_keys.empty()) keys += "]";
  return fmt::format("AlignDevicesHook(execution_device={}, offload={}, io_same_device={}, offload_buffers={}, place_submodules={}, skip_keys={})",
                     settings_.execution_device == nullptr ? "None" : settings_.execution_device->name(), python(settings_.offload),
                     python(settings_.io_same_device), python(settings_.offload_buffers), python(settings_.place_submodules), keys);
}

}  // namespace bigmodel
