// SPDX-License-Identifier: Apache-2.0
// A module's tensors by name, and the one way in which they change place: accelerate's set_module_tensor_to_device and what goes with it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bigmodel/engine/module.h"
#include "bigmodel/planning/tied_parameters.h"

namespace bigmodel {

/// Copies of tied parameters that lie on some device already, so that a second name does not take memory again: a parameter's memory
/// -> device -> the parameter there.
class TiedParamsMap {
 public:
  struct Copy {
    StoredTensor tensor;
    std::shared_ptr<const char> tie;
  };
  /// The tensor's memory is one that tied parameters share.
  void add(const StoredTensor& tensor);
  bool holds(const StoredTensor& tensor) const;
  const Copy* find(const StoredTensor& tensor, const Device* device) const;
  void put(const StoredTensor& tensor, const Device* device, Copy copy);
  void remove(const StoredTensor& tensor, const Device* device);

 private:
  struct Entry {
    std::weak_ptr<const void> memory;    ///< an address may be used again once this is gone
    std::unordered_map<const Device*, Copy> copies;
  };
  const Entry* entry(const StoredTensor& tensor) const;
  std::unordered_map<const std::byte*, Entry> entries_;
};

struct SetTensor {
  std::optional<StoredTensor> value;   ///< what it becomes; none: what it is
  std::optional<DType> dtype;          ///< of a floating-point value; none: the dtype of the tensor that is there
  TiedParamsMap* tied = nullptr;
};

/// Puts the tensor of that name (relative to `module`, dotted) on a device. `device` null: where the value lies (buffers only).
/// Errors, in accelerate's words: UsageError (no such tensor; on meta without a value; no device), FormatError (the value's shape).
void set_module_tensor_to_device(Module& module, const std::string& name, const Device* device, const SetTensor& options = {});

/// A tensor and its name relative to some module.
struct NamedTensor {
  std::string name;
  ModuleTensor* tensor = nullptr;
};

struct WhichTensors {
  bool include_buffers = true;
  bool recurse = false;
  bool remove_non_persistent = false;
  bool all_names = false;      ///< a tied parameter under every name
};

/// Parameters, then buffers, of the module (and with `recurse` of all below it), each in module order; a tied parameter under its first
/// name.
std::vector<NamedTensor> named_module_tensors(Module& module, const WhichTensors& which = {});

/// Names of parameters that are one, below `module`.
TieGroups find_tied_parameters(const Module& module);

/// Makes groups one again where loading or hooks took them apart: the first that is not on meta takes the others' places.
void retie_parameters(Module& module, const TieGroups& ties);

/// Whether the module's hook is an AlignDevicesHook that offloads.
bool has_offloaded_params(const Module& module);

/// While it lives, the module's own parameters are on a device: offloaded ones by its hook, others moved there and back.
/// Null: the hook's execution device; modules without an offloading hook stay as they are. Throws what the hook and
/// set_module_tensor_to_device throw. accelerate's align_module_device.
class AlignedModule {
 public:
  explicit AlignedModule(Module& module, const Device* execution_device = nullptr);
  ~AlignedModule();
  AlignedModule(const AlignedModule&) = delete;
  AlignedModule& operator=(const AlignedModule&) = delete;
  /// The way back, with its errors; the destructor keeps silent.
  void restore();

 private:
  Module& module_;
  const Device* original_ = nullptr;
  const Device* wanted_ = nullptr;
  std::vector<std::pair<std::string, const Device*>> devices_;
  bool active_ = true;
};

}  // namespace bigmodel
