// SPDX-License-Identifier: Apache-2.0
// Where a model's modules compute and where their weights sleep: a device map, the accelerators there are, and what each block can do.
#pragma once

#include <string_view>
#include <unordered_map>

#include "bigmodel/device/device.h"
#include "bigmodel/engine/module.h"
#include "bigmodel/planning/device_map.h"

namespace bigmodel {

/// Of a tensor between its uses.
enum class Tier : std::uint8_t {
  resident,  ///< on the device that computes with it
  ram,       ///< in RAM, and copied to the accelerator in every pass
  disk,      ///< in the checkpoint's files, and read in every pass
};

/// Reference: accelerate's dispatch_model. What a map places on "cpu" or "disk" is computed by the first accelerator of the map where it has one,
/// else by the processor. Blocks that have no kernels are computed by the processor, with all that lies below them, whatever the map says.
class ModulePlaces {
 public:
  /// The tree is bound. `devices` must outlive it. `main_device`: in the place of the first accelerator of the map. Throws DeviceError (a device that there is none of).
  ModulePlaces(Module& root, const DeviceMap& map, const DeviceTable& devices, const Device* main_device = nullptr);

  /// Who computes with a module's tensors.
  const Device& device(const Module& module) const { return *devices_.at(&module); }
  /// Of a tensor of that module, by its name. Throws UsageError for a map that says nothing of it.
  Tier tier(const Module& module, std::string_view tensor) const;
  /// Modules that the map wants on an accelerator and the processor computes, the topmost ones.
  const std::vector<const Module*>& left_to_processor() const noexcept { return left_to_processor_; }
  /// The one that computes everything; null where there is none, or other devices take part.
  const Accelerator* only_accelerator() const;

  /// Hooks that move inputs to where a module computes, and outputs back where the processor asked.
  void attach_input_hooks(Module& root) const;

 private:
  struct Entry {
    const Device* device = nullptr;   ///< null: "cpu" or "disk"
    bool disk = false;
  };
  /// The longest entry that is the name or a prefix of it; null where there is none.
  const Entry* find_entry(std::string_view name) const;
  void place(Module& module, const Device* reader, bool processor_only);

  std::unordered_map<std::string, Entry> entries_;
  std::unordered_map<const Module*, const Device*> devices_;
  std::vector<const Module*> left_to_processor_;
  const Device* main_ = nullptr;     ///< null: no accelerator in the map
};

}  // namespace bigmodel
