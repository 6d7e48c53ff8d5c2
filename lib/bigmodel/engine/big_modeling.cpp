// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, big_modeling.py.
#include "bigmodel/engine/big_modeling.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/planning/check_device_map.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

const Disk& or_real(const Disk* disk) {
  static const Disk kReal;
  return disk == nullptr ? kReal : *disk;
}

const Device* first_parameter_device(Module& model) {
  const std::vector<NamedTensor> parameters = named_module_tensors(model, {.include_buffers = false, .recurse = true});
  if (parameters.empty()) throw UsageError(fmt::format("{}: has no parameter that would say where it runs", model.class_name()), "state an execution_device");
  return parameters.front().tensor->device;
}

/// Runs `attach`; where it throws, the model has no hooks.
template <typename Attach>
void attach_or_nothing(Module& model, const Attach& attach) {
  try {
    attach();
  } catch (...) {
    try {
      remove_hook_from_submodules(model);
    } catch (...) {
      // What a hook cannot bring back was lost before: the first error is the one to tell.
    }
    throw;
  }
}

void offload_everything(Module& model, const Device* execution_device, AttachHooks options) {
  attach_or_nothing(model, [&] {
    add_hook_to_module(model, std::make_shared<AlignDevicesHook>(AlignDevices{.io_same_device = true}), true);
    attach_align_device_hook(model, execution_device, true, options);
  });
}

/// The folder's weights; written first where no index is there. Null where there is nothing to write.
std::shared_ptr<const WeightsMap> disk_weights(const fs::path& folder, const StateDict& tensors, const Disk& disk) {
  const bool is_new = !fs::is_regular_file(folder / "index.json");
  if (is_new) offload_state_dict(folder, tensors, disk);
  if (!fs::is_regular_file(folder / "index.json")) return nullptr;
  std::shared_ptr<const CheckpointWeights> stored = open_offload_folder(folder, disk);
  if (is_new) return stored;
  for (const auto& [name, tensor] : tensors) {
    const CheckpointTensor* there = stored->info(name);
    if (there == nullptr || there->shape == tensor.view.shape) continue;
    throw FormatError(fmt::format("{}: '{}' has shape {} there, expected {}", folder.string(), name, to_string(there->shape), to_string(tensor.view.shape)),
                      "it holds another model; choose another offload folder");
  }
  return stored;
}

std::vector<std::string> modules_on(const DeviceMap& map, std::string_view device) {
  std::vector<std::string> out;
  for (const auto& [name, key] : map) {
    if (to_string(key) == device) out.push_back(name);
  }
  return out;
}

/// Of those modules; "" is the whole model (where accelerate finds nothing).
StateDict state_of(const Module& model, const std::vector<std::string>& modules) {
  const StateDict all = state_dict(model);
  return std::ranges::find(modules, "") != modules.end() ? all : extract_submodules_state_dict(all, modules);
}

}  // namespace

void cpu_offload(Module& model, const CpuOffloadOptions& options) {
  const Device* device = options.execution_device == nullptr ? first_parameter_device(model) : options.execution_device;
  StateDict kept;
  if (options.state_dict) {
    kept = *options.state_dict;
  } else {
    for (const auto& [name, tensor] : state_dict(model)) kept.emplace_back(name, tensor.is_meta() ? tensor : moved(tensor, cpu_device()));
  }
  offload_everything(model, device, {.weights_map = std::make_shared<StateDictWeights>(kept), .offload_buffers = options.offload_buffers,
                                     .preload_module_classes = options.preload_module_classes});
}

std::shared_ptr<UserCpuOffloadHook> cpu_offload_with_hook(Module& model, const Device& execution_device, std::shared_ptr<UserCpuOffloadHook> prev_module_hook) {
  auto hook = std::make_shared<CpuOffload>(execution_device, std::move(prev_module_hook));
  add_hook_to_module(model, hook, true);
  return std::make_shared<UserCpuOffloadHook>(model, hook);
}

void disk_offload(Module& model, const DiskOffloadOptions& options) {
  const Device* device = options.execution_device == nullptr ? first_parameter_device(model) : options.execution_device;
  std::shared_ptr<const WeightsMap> weights = disk_weights(options.offload_dir, state_dict(model), or_real(options.disk));
  if (weights == nullptr) weights = std::make_shared<StateDictWeights>(StateDict{});
  offload_everything(model, device, {.weights_map = std::move(weights), .offload_buffers = options.offload_buffers,
                                     .preload_module_classes = options.preload_module_classes});
}

Messages dispatch_model(Module& model, const DispatchModelOptions& options) {
  Messages messages;
  const DeviceMap& map = options.device_map;
  const DeviceMapCheck check = check_device_map(graph_of(model), map);
  if (!check.warning().empty()) messages.push_back({DeviceMapMessage::Level::warning, check.warning()});
  if (!check.error().empty()) throw UsageError(check.error(), "add an entry \"\" for the rest");
  std::vector<std::string> used;
  for (const auto& [name, key] : map) {
    if (std::ranges::find(used, to_string(key)) == used.end()) used.push_back(to_string(key));
    if (to_string(key) != "disk") options.devices.at(to_string(key));
  }
  const bool on_disk = std::ranges::find(used, "disk") != used.end();
  if (used.size() < 2 && !on_disk && !options.force_hooks) {
    if (!used.empty()) model.to(options.devices.at(used.front()));
    return messages;
  }

  const Device* main = options.main_device;
  for (const std::string& d : used) {
    if (main == nullptr && d != "cpu" && d != "disk") main = &options.devices.at(d);
  }
  if (main == nullptr) main = &cpu_device();
  const bool main_is_cpu = main == &cpu_device();
  StateDict in_ram;
  if (options.state_dict) {
    in_ram = *options.state_dict;
  } else if (!main_is_cpu) {
    in_ram = state_of(model, modules_on(map, "cpu"));
  }
  const std::vector<std::string> disk_modules = modules_on(map, "disk");
  std::shared_ptr<const WeightsMap> stored = options.offload_index;
  if (on_disk && stored == nullptr) {
    if (options.offload_dir.empty()) {
      throw UsageError(fmt::format("We need an `offload_dir` to dispatch this model according to this `device_map`, the following submodules need to be offloaded: {}",
                                   fmt::join(disk_modules, ", ")));
    }
    stored = disk_weights(options.offload_dir, state_of(model, disk_modules), or_real(options.disk));
  }

  BlockDevices blocks;
  for (const auto& [name, key] : map) {
    const std::string device = to_string(key);
    const bool sleeps = device == "disk" || device == "cpu";
    if (!name.empty()) blocks.execution_device.emplace_back(name, sleeps ? main : &options.devices.at(device));
    blocks.offload.emplace_back(name, device == "disk" || (device == "cpu" && !main_is_cpu));
  }
  blocks.execution_device.emplace_back("", main);
  const TieGroups ties = find_tied_parameters(model);
  auto tied = std::make_shared<TiedParamsMap>();
  for (const auto& group : ties) {
    for (const std::string& name : group) tied->add(*find_tensor(model, name));
  }
  attach_or_nothing(model, [&] {
    attach_align_device_hook_on_blocks(model, blocks,
                                       {.weights_map = std::make_shared<OffloadedWeightsLoader>(in_ram, stored),
                                        .offload_buffers = options.offload_buffers,
                                        .skip_keys = options.skip_keys,
                                        .preload_module_classes = options.preload_module_classes,
                                        .tied_params_map = tied});
  });
  std::erase_if(used, [](const std::string& d) { return d != "cpu" && d != "disk"; });
  if (!used.empty()) {
    messages.push_back({DeviceMapMessage::Level::log_warning,
                        fmt::format("Some parameters are on the meta device because they were offloaded to the {}.", fmt::join(used, " and "))});
  }
  retie_parameters(model, ties);
  model.set_dispatched(true);
  return messages;
}

}  // namespace bigmodel
