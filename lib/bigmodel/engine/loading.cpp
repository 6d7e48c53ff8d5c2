// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, utils/modeling.py, load_checkpoint_in_model and load_state_dict.
#include "bigmodel/engine/loading.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/engine/checkpoint_files.h"
#include "bigmodel/engine/read_memory.h"
#include "bigmodel/planning/device_map_policy.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// What happens to one tensor of the checkpoint.
struct Step {
  const CheckpointTensor* source = nullptr;
  std::string name;
  const Device* device = nullptr;         ///< null: to the offload folder
  std::optional<DType> dtype;             ///< what it is cast to; none: the model's
  bool checkpoint_dtype = false;          ///< the model takes the checkpoint's dtype
};

class Loader {
 public:
  Loader(Module& model, const fs::path& path, const LoadCheckpointOptions& options)
      : model_(model), path_(path), options_(options), ties_(find_tied_parameters(model)) {
    for (const auto& [name, tensor] : state_dict(model)) {
      keys_.insert(name);
      on_meta_ = on_meta_ || tensor.is_meta();
    }
    for (const auto& [name, device] : options.device_map.value_or(DeviceMap{})) devices_.emplace(name, to_string(device));
  }

  LoadReport run() {
    refuse_unsupported();
    const bool to_disk = options_.device_map && std::ranges::any_of(*options_.device_map, [](const auto& e) { return to_string(e.second) == "disk"; });
    if (options_.device_map) {
      for (std::string& text : check_tied_parameters_on_same_device(ties_, *options_.device_map)) {
        report_.messages.push_back({DeviceMapMessage::Level::log_warning, std::move(text)});
      }
      for (const auto& [name, device] : *options_.device_map) {
        if (to_string(device) != "disk") options_.devices.at(to_string(device));
      }
    }
    const bool writes = to_disk && !options_.offload_in_place;
    if (writes && options_.offload_folder.empty()) {
      throw UsageError("At least one of the model submodule will be offloaded to disk, please pass along an `offload_folder`");
    }
    const Disk& disk = real_or(options_.disk);
    checkpoint_ = open_weight_files(path_, disk, report_.messages);
    std::vector<Step> steps = plan();
    note_keys();
    if (writes) {
      std::error_code error;
      fs::create_directories(options_.offload_folder, error);
      if (error) throw_errno(options_.offload_folder.string(), "create the offload folder", error.value());
    }
    read(steps, disk);
    retie_parameters(model_, ties_);
    if (to_disk && !writes) report_.offload_index = std::make_shared<CheckpointWeights>(std::move(checkpoint_), disk);
    return std::move(report_);
  }

 private:
  static const Disk& real_or(const Disk* disk) {
    static const Disk kReal;
    return disk == nullptr ? kReal : *disk;
  }

  void refuse_unsupported() const {
    if (options_.offload_8bit_bnb) throw UnsupportedError("offload_8bit_bnb: weights are not quantised while they are loaded", "leave it out");
    if (options_.broadcast_from_rank0) throw UnsupportedError("broadcast_from_rank0: there are no process groups here", "load in every process");
    if (options_.dtype && !is_floating_point(*options_.dtype)) {
      throw UsageError(fmt::format("dtype {}: expected a floating-point one", name(*options_.dtype)));
    }
  }

  /// In the order in which the reference goes through them, so that the first fault is the same one.
  std::vector<Step> plan() {
    std::vector<Step> steps;
    for (std::uint32_t file = 0; file < checkpoint_.files.size(); ++file) {
      std::vector<const CheckpointTensor*> tensors;
      for (const CheckpointTensor& t : checkpoint_.tensors) {
        if (t.file == file) tensors.push_back(&t);
      }
      if (options_.device_map && checkpoint_.files[file].container == Container::safetensors) tensors = by_device(std::move(tensors));
      for (const CheckpointTensor* t : tensors) {
        if (std::optional<Step> step = plan_tensor(*t)) steps.push_back(std::move(*step));
      }
    }
    return steps;
  }

  std::vector<const CheckpointTensor*> by_device(std::vector<const CheckpointTensor*> tensors) const {
    std::vector<std::string> devices;
    for (const auto& [name, device] : *options_.device_map) {
      if (std::ranges::find(devices, to_string(device)) == devices.end()) devices.push_back(to_string(device));
    }
    if (devices.size() == 1) return tensors;
    std::ranges::sort(tensors, {}, &CheckpointTensor::name);
    std::vector<const CheckpointTensor*> out;
    std::unordered_set<const CheckpointTensor*> taken;
    for (const std::string& device : devices) {
      if (device == "disk") continue;
      for (const auto& [name, key] : *options_.device_map) {
        if (to_string(key) != device) continue;
        for (const CheckpointTensor* t : tensors) {
          if ((t->name == name || t->name.starts_with(name + ".")) && taken.insert(t).second) out.push_back(t);
        }
      }
    }
    for (const CheckpointTensor* t : tensors) {
      if (taken.insert(t).second) out.push_back(t);
    }
    return out;
  }

  std::optional<Step> plan_tensor(const CheckpointTensor& t) {
    // Statistics of 8-bit weights are no tensors of the model.
    if (options_.device_map && t.name.find("SCB") != std::string::npos) return std::nullopt;
    found_.insert(t.name);
    const bool known = keys_.contains(t.name);
    if (!known) unexpected_.insert(t.name);
    if (!known && !options_.strict) return std::nullopt;
    Step step{.source = &t, .name = t.name};
    if (options_.device_map) place(step);
    if (!known) {
      throw FormatError(fmt::format("Error(s) in loading state_dict for {}: Unexpected key(s) in state_dict: \"{}\"", model_.class_name(), t.name),
                        "load without strict, or with the class that the checkpoint belongs to");
    }
    const ModuleTensor& target = *find_tensor(model_, t.name);
    if (options_.device_map) {
      check_shape(step, target);
      return step;
    }
    if (t.shape != target.view.shape) {
      throw FormatError(fmt::format("Error(s) in loading state_dict for {}: size mismatch for {}: copying a param with shape torch.Size({}) from checkpoint, the "
                                    "shape in current model is torch.Size({})",
                                    model_.class_name(), t.name, to_string(t.shape), to_string(target.view.shape)),
                        "the checkpoint belongs to another config");
    }
    // A model on meta takes the checkpoint's tensors as they are, one with memory has them cast to its own dtype.
    step.device = target.is_meta() ? &cpu_device() : target.device;
    step.checkpoint_dtype = on_meta_;
    return step;
  }

  /// Shapes are the reference's business only where it reads a value; here the folder would not fit the model either.
  void check_shape(const Step& step, const ModuleTensor& target) const {
    if (step.source->shape == target.view.shape) return;
    throw FormatError(fmt::format("Trying to set a tensor of shape torch.Size({}) in \"{}\" (which has shape torch.Size({})), this looks incorrect",
                                  to_string(step.source->shape), target.meta->name, to_string(target.view.shape)),
                      "the checkpoint belongs to another config");
  }

  void place(Step& step) const {
    std::string part = step.name;
    auto it = devices_.find(part);
    while (it == devices_.end() && !part.empty()) {
      const std::size_t dot = part.rfind('.');
      part.resize(dot == std::string::npos ? 0 : dot);
      it = devices_.find(part);
    }
    if (it == devices_.end()) throw UsageError(fmt::format("{} doesn't have any device set", step.name), "add an entry \"\" for the rest");
    if (options_.dtype && is_floating_point(step.source->dtype)) step.dtype = keeps_float32(step.name) ? DType::float32 : *options_.dtype;
    const std::string& device = it->second;
    const ModuleTensor* target = find_tensor(model_, step.name);
    if (device == "disk" && target != nullptr && target->is_buffer && !options_.offload_buffers) {
      // accelerate forgets the values of these; their dtype is the model's.
      step.dtype = std::nullopt;
      step.device = target->is_meta() ? &cpu_device() : target->device;
    } else if (device != "disk") {
      step.device = &options_.devices.at(device);
      step.checkpoint_dtype = device == "cpu" && options_.offload_state_dict;
    }
  }

  bool keeps_float32(const std::string& name) const {
    return options_.dtype == DType::float16 && std::ranges::any_of(options_.keep_in_fp32_modules, [&](const std::string& key) {
             return key == name || name.find(key + ".") != std::string::npos;
           });
  }

  void note_keys() {
    report_.unexpected_keys.assign(unexpected_.begin(), unexpected_.end());
    for (const auto& [name, tensor] : state_dict(model_)) {
      if (!found_.contains(name)) report_.missing_keys.push_back(name);
    }
    if (unexpected_.empty()) return;
    report_.messages.push_back(
        {DeviceMapMessage::Level::log_warning,
         fmt::format("Some weights of the model checkpoint at {} were not used when initializing {}: {{'{}'}}. This may or may not be an issue - make sure that "
                     "the checkpoint does not have unnecessary parameters, or that the model definition correctly corresponds to the checkpoint.",
                     path_.string(), model_.class_name(), fmt::join(unexpected_, "', '"))});
  }

  void read(const std::vector<Step>& steps, const Disk& disk) {
    TensorReader reader(checkpoint_, disk);
    OffloadIndex index;
    std::uint64_t total = 0, done = 0;
    for (const Step& step : steps) total += step.source->size_bytes;
    NextReadMemory next;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      options_.work.throw_if_stopped();
      options_.work.report("loading", done, total);
      done += step.source->size_bytes;
      if (step.device == nullptr && options_.offload_in_place) {
        set_module_tensor_to_device(model_, step.name, &meta_device(), {.dtype = step.dtype.value_or(step.source->dtype)});
        continue;
      }
      const std::shared_ptr<std::byte[]> memory = next.take(step.source->offset, step.source->size_bytes);
      // What stays in RAM has to be made anyway; of what passes through there is one tensor at a time.
      if (i + 1 < steps.size() && stays(steps[i + 1])) next.prepare(steps[i + 1].source->offset, steps[i + 1].source->size_bytes);
      reader.read(*step.source, 0, {memory.get(), static_cast<std::size_t>(step.source->size_bytes)});
      const StoredTensor value{{step.source->dtype, step.source->shape, memory.get()}, &cpu_device(), memory};
      put(step, value, index, disk);
    }
    save_offload_index(index, options_.offload_folder);
  }

  /// Whether the bytes that are read are those that the model keeps.
  static bool stays(const Step& step) { return step.device == &cpu_device() && !step.dtype; }

  void put(const Step& step, const StoredTensor& value, OffloadIndex& index, const Disk& disk) {
    if (step.device == nullptr || (step.checkpoint_dtype && options_.device_map)) {
      set_module_tensor_to_device(model_, step.name, &meta_device(), {.dtype = step.dtype.value_or(value.view.dtype)});
      if (step.device != nullptr) {
        set_module_tensor_to_device(model_, step.name, step.device, {.value = value});
      } else {
        offload_weight(value, step.name, options_.offload_folder, index, disk);
      }
      return;
    }
    if (options_.device_map) {
      set_module_tensor_to_device(model_, step.name, step.device, {.value = value, .dtype = step.dtype});
      return;
    }
    ModuleTensor& target = *find_tensor(model_, step.name);
    replace_parameter(model_, target, moved(step.checkpoint_dtype ? value : cast(value, target.view.dtype), *step.device));
  }

  Module& model_;
  fs::path path_;
  const LoadCheckpointOptions& options_;
  TieGroups ties_;
  Checkpoint checkpoint_;
  std::unordered_map<std::string, std::string> devices_;   ///< of the map
  bool on_meta_ = false;                                   ///< some weights of the model have no memory yet
  std::unordered_set<std::string> keys_, found_;
  std::set<std::string> unexpected_;
  LoadReport report_;
};

DeviceMap map_of(const Module& model, const LoadAndDispatchOptions& options, Messages& messages) {
  if (const auto* map = std::get_if<DeviceMap>(&options.device_map)) return *map;
  const std::string& name = std::get<std::string>(options.device_map);
  const std::optional<DevicePolicy> policy = find_device_policy(name);
  if (!policy || (*policy == DevicePolicy::accelerate || *policy == DevicePolicy::optimal)) {
    throw UsageError("If passing a string for `device_map`, please choose 'auto', 'balanced', 'balanced_low_0' or 'sequential'", fmt::format("'{}' was given", name));
  }
  PolicyRequest request{.policy = *policy, .user_gave_max_memory = options.max_memory.has_value()};
  if (options.max_memory) {
    request.map.max_memory = *options.max_memory;
  } else {
    request.map.max_memory = {{std::string("cpu"), static_cast<std::int64_t>(read_machine_info().memory.usable_bytes())}};
  }
  request.map.no_split = options.no_split_module_classes;
  request.map.sizes.dtype = options.dtype;
  request.map.offload_buffers = options.offload_buffers;
  PolicyMap plan = plan_device_map(graph_of(model), request);
  for (DeviceMapMessage& m : plan.map.messages) messages.push_back(std::move(m));
  return std::move(plan.map.device_map);
}

}  // namespace

LoadReport load_checkpoint_in_model(Module& model, const fs::path& checkpoint, const LoadCheckpointOptions& options) {
  return Loader(model, checkpoint, options).run();
}

LoadReport load_sharded_checkpoint(Module& model, const fs::path& folder, bool strict, bool prefer_safe) {
  const fs::path safe = folder / "model.safetensors.index.json", bin = folder / "pytorch_model.bin.index.json";
  const bool has_safe = fs::is_regular_file(safe), has_bin = fs::is_regular_file(bin);
  if (!has_safe && !has_bin) {
    throw NotFoundError(fmt::format("Can't find a checkpoint index (pytorch_model.bin.index.json or model.safetensors.index.json) in {}", folder.string()));
  }
  const fs::path index = has_safe && (prefer_safe || !has_bin) ? safe : bin;
  if (strict) {
    const std::vector<std::string> listed = index_keys(index);
    const std::set<std::string> there(listed.begin(), listed.end());
    std::vector<std::string> missing, unexpected = listed;
    for (const auto& [name, tensor] : state_dict(model)) {
      if (!there.contains(name)) missing.push_back(name);
      std::erase(unexpected, name);
    }
    if (!missing.empty() || !unexpected.empty()) {
      std::string text = fmt::format("Error(s) in loading state_dict for {}", model.class_name());
      if (!missing.empty()) text += fmt::format(": Missing key(s): \"{}\"", fmt::join(missing, "\",\""));
      if (!unexpected.empty()) text += fmt::format(": Unexpected key(s): \"{}\"", fmt::join(unexpected, "\",\""));
      throw FormatError(text, "load with strict off, or with the class that the checkpoint belongs to");
    }
  }
  return load_checkpoint_in_model(model, index);
}

DispatchReport load_checkpoint_and_dispatch(Module& model, const fs::path& checkpoint, const LoadAndDispatchOptions& options) {
  DispatchReport out;
  LoadCheckpointOptions load{.offload_folder = options.offload_folder,
                             .dtype = options.dtype,
                             .offload_buffers = options.offload_buffers,
                             .strict = options.strict,
                             .full_state_dict = options.full_state_dict,
                             .broadcast_from_rank0 = options.broadcast_from_rank0,
                             .offload_in_place = options.offload_in_place,
                             .devices = options.devices,
                             .disk = options.disk,
                             .work = options.work};
  const bool dispatches = !std::holds_alternative<std::monostate>(options.device_map);
  if (dispatches) {
    out.hf_device_map = map_of(model, options, out.messages);
    load.device_map = out.hf_device_map;
    const bool to_disk = std::ranges::any_of(out.hf_device_map, [](const auto& e) { return to_string(e.second) == "disk"; });
    load.offload_state_dict = options.offload_state_dict.value_or(to_disk);
  }
  LoadReport loaded = load_checkpoint_in_model(model, checkpoint, load);
  out.offload_index = loaded.offload_index;
  std::ranges::move(loaded.messages, std::back_inserter(out.messages));
  out.unexpected_keys = std::move(loaded.unexpected_keys);
  out.missing_keys = std::move(loaded.missing_keys);
  if (!dispatches) return out;
  DispatchModelOptions dispatch{.device_map = out.hf_device_map,
                                .offload_dir = options.offload_folder,
                                .offload_index = loaded.offload_index,
                                .offload_buffers = options.offload_buffers,
                                .skip_keys = options.skip_keys,
                                .preload_module_classes = options.preload_module_classes,
                                .force_hooks = options.force_hooks,
                                .devices = options.devices,
                                .disk = options.disk};
  for (DeviceMapMessage& m : dispatch_model(model, dispatch)) out.messages.push_back(std::move(m));
  return out;
}

}  // namespace bigmodel
