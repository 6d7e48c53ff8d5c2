// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, utils/modeling.py.
#include "bigmodel/engine/module_tensors.h"

#include <fmt/format.h>

#include <unordered_set>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/hooks/align_devices_hook.h"

namespace bigmodel {

const TiedParamsMap::Entry* TiedParamsMap::entry(const StoredTensor& tensor) const {
  if (tensor.is_meta()) return nullptr;
  const auto it = entries_.find(tensor.view.data);
  // Memory that the model's owner keeps has no owner here; it stays for good.
  return it == entries_.end() || (tensor.memory != nullptr && it->second.memory.expired()) ? nullptr : &it->second;
}

void TiedParamsMap::add(const StoredTensor& tensor) {
  if (tensor.is_meta() || entry(tensor) != nullptr) return;
  entries_[tensor.view.data] = {tensor.memory, {}};
}

bool TiedParamsMap::holds(const StoredTensor& tensor) const { return entry(tensor) != nullptr; }

const TiedParamsMap::Copy* TiedParamsMap::find(const StoredTensor& tensor, const Device* device) const {
  const Entry* e = entry(tensor);
  if (e == nullptr) return nullptr;
  const auto it = e->copies.find(device);
  return it == e->copies.end() ? nullptr : &it->second;
}

void TiedParamsMap::put(const StoredTensor& tensor, const Device* device, Copy copy) {
  if (entry(tensor) != nullptr) entries_.at(tensor.view.data).copies.emplace(device, std::move(copy));
}

void TiedParamsMap::remove(const StoredTensor& tensor, const Device* device) {
  if (entry(tensor) != nullptr) entries_.at(tensor.view.data).copies.erase(device);
}

namespace {

/// PyTorch's way of writing one.
std::string torch_size(const Shape& shape) { return fmt::format("torch.Size({})", to_string(shape)); }

ModuleTensor& tensor_at(Module& module, const std::string& name) {
  if (ModuleTensor* found = find_tensor(module, name)) return *found;
  throw UsageError(fmt::format("module '{}' ({}): does not have a parameter or a buffer named {}", module.name(), module.class_name(), name));
}

}  // namespace

void set_module_tensor_to_device(Module& module, const std::string& name, const Device* device, const SetTensor& options) {
  ModuleTensor& t = tensor_at(module, name);
  if (module.observer() != nullptr) module.observer()->tensor_set(t, device, options.value.has_value());
  const StoredTensor old = t;
  const auto reuse = [&](const StoredTensor& of) {
    const TiedParamsMap::Copy* copy = options.tied == nullptr ? nullptr : options.tied->find(of, device);
    if (copy == nullptr) return false;
    t.set(copy->tensor);
    t.tie = copy->tie;
    return true;
  };
  if ((options.value && reuse(*options.value)) || reuse(old)) return;

  const bool to_meta = device != nullptr && device->is_meta();
  if (old.is_meta() && !to_meta && !options.value) {
    throw UsageError(fmt::format("{} is on the meta device, we need a `value` to put in on {}", t.meta->name, device == nullptr ? "None" : device->name()));
  }
  StoredTensor value = old;
  if (options.value) {
    value = *options.value;
    if (value.view.shape != old.view.shape) {
      throw FormatError(fmt::format("Trying to set a tensor of shape {} in \"{}\" (which has shape {}), this looks incorrect", torch_size(value.view.shape),
                                    t.meta->name, torch_size(old.view.shape)));
    }
    if (!options.dtype) {
      value = cast(value, old.view.dtype);
    } else if (is_floating_point(value.view.dtype)) {
      value = cast(value, *options.dtype);
    }
  }
  if (device == nullptr && !t.is_buffer) {
    throw UsageError(fmt::format("parameter '{}': its hook offloads it, but has no execution device to bring it to", t.full_name), "give the hook an execution_device");
  }
  StoredTensor placed = device == nullptr || (old.is_meta() && to_meta && !options.value) ? value : moved(value, *device);
  const bool recast = !options.value && options.dtype && to_meta && is_floating_point(old.view.dtype);
  if (recast) placed = meta_tensor(*options.dtype, old.view.shape);
  // A parameter that is where it should be stays the same one, ties included.
  if (t.is_buffer || options.value || recast || old.device != device) t.set(placed);

  if (options.tied == nullptr) return;
  for (const StoredTensor* key : {&old, options.value ? &*options.value : nullptr}) {
    if (key == nullptr || !options.tied->holds(*key)) continue;
    if (options.tied->find(*key, device) != nullptr) continue;
    if (t.tie == nullptr) t.tie = std::make_shared<const char>();
    options.tied->put(*key, device, {t, t.tie});
    break;
  }
}

std::vector<NamedTensor> named_module_tensors(Module& module, const WhichTensors& which) {
  std::vector<NamedTensor> out;
  std::vector<NamedTensor> buffers;
  std::unordered_set<const char*> seen;
  const std::size_t skipped = module.name().empty() ? 0 : module.name().size() + 1;
  const auto take = [&](Module& m) {
    for (ModuleTensor& t : m.tensors()) {
      if (t.is_buffer) {
        if (which.include_buffers && (t.meta->persistent || !which.remove_non_persistent)) buffers.push_back({t.full_name.substr(skipped), &t});
      } else if (t.tie == nullptr || which.all_names || seen.insert(t.tie.get()).second) {
        out.push_back({t.full_name.substr(skipped), &t});
      }
    }
  };
  if (which.recurse) {
    module.for_each(take);
  } else {
    take(module);
  }
  out.insert(out.end(), buffers.begin(), buffers.end());
  return out;
}

TieGroups find_tied_parameters(const Module& module) { return find_tied_parameters(graph_of(module)); }

void retie_parameters(Module& module, const TieGroups& ties) {
  for (const auto& [name, source] : retie_parameters(ties, [&](const std::string& n) { return tensor_at(module, n).is_meta(); })) {
    ModuleTensor& from = tensor_at(module, source);
    ModuleTensor& to = tensor_at(module, name);
    if (from.tie == nullptr) from.tie = std::make_shared<const char>();
    const std::shared_ptr<const char> token = from.tie;
    to.set(from);
    to.tie = token;
  }
}

bool has_offloaded_params(const Module& module) {
  const auto* hook = dynamic_cast<const AlignDevicesHook*>(module.hook());
  return hook != nullptr && hook->settings().offload;
}

AlignedModule::AlignedModule(Module& module, const Device* execution_device) : module_(module), wanted_(execution_device) {
  if (has_offloaded_params(module)) {
    auto& hook = dynamic_cast<AlignDevicesHook&>(*module.hook());
    original_ = hook.settings().execution_device;
    if (execution_device != nullptr) hook.set_execution_device(execution_device);
    try {
      Arguments none;
      ForwardState state;
      run_pre_forward(hook, module, none, state);
    } catch (...) {
      restore();
      throw;
    }
    return;
  }
  if (execution_device == nullptr) return;
  for (const NamedTensor& t : named_module_tensors(module, {.include_buffers = false})) devices_.emplace_back(t.name, t.tensor->device);
  for (const auto& [name, device] : devices_) set_module_tensor_to_device(module, name, execution_device);
}

void AlignedModule::restore() {
  if (!std::exchange(active_, false)) return;
  if (has_offloaded_params(module_)) {
    auto& hook = dynamic_cast<AlignDevicesHook&>(*module_.hook());
    Tensor none;
    ForwardState state;
    run_post_forward(hook, module_, none, state);
    hook.set_execution_device(original_);
    return;
  }
  for (const auto& [name, device] : devices_) set_module_tensor_to_device(module_, name, device);
}

AlignedModule::~AlignedModule() {
  try {
    restore();
  } catch (...) {
    // The module stays as it is; restore() says why to those who call it.
  }
}

}  // namespace bigmodel
