// SPDX-License-Identifier: Apache-2.0
// Puts a module's weights and inputs on the device that computes, and, where it offloads, sends the weights back to sleep afterwards.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/engine/module.h"
#include "bigmodel/engine/module_tensors.h"
#include "bigmodel/engine/weights_map.h"

namespace bigmodel {

/// accelerate's parameters, under their names.
struct AlignDevices {
  const Device* execution_device = nullptr;   ///< of weights and inputs; null: they stay (offloaded parameters then have no place to go)
  bool offload = false;                       ///< weights are on meta but for the time of a forward
  bool io_same_device = false;                ///< the output goes to where the first input was
  std::shared_ptr<const WeightsMap> weights_map;   ///< names relative to the module; null: the tensors that the module has, in RAM
  bool offload_buffers = false;               ///< persistent buffers too
  bool place_submodules = false;              ///< everything below the module as well
  /// Kept and shown. Inputs are positional here, and what a pass carries beside them (ForwardState, the cache) is never moved.
  std::vector<std::string> skip_keys;
  std::shared_ptr<TiedParamsMap> tied_params_map;
  /// Beyond accelerate: the hook leaves all other tensors alone. Empty: none.
  std::function<bool(const ModuleTensor&)> only;
};

class AlignDevicesHook : public ModelHook {
 public:
  explicit AlignDevicesHook(AlignDevices settings) : settings_(std::move(settings)) {}

  void init_hook(Module& module) override;
  /// Throws NotFoundError where the weights map lacks a tensor, and what set_module_tensor_to_device throws.
  void pre_forward(Module& module, Arguments& arguments, ForwardState& state) override;
  void post_forward(Module& module, Tensor& output, ForwardState& state) override;
  void abandon_forward(Module& module) noexcept override;
  /// Offloaded tensors come back to the devices where they were before.
  void detach_hook(Module& module) override;
  std::string describe() const override;

  const AlignDevices& settings() const noexcept { return settings_; }
  void set_execution_device(const Device* device) noexcept { settings_.execution_device = device; }
  /// The weights' part of pre_forward and post_forward.
  void onload(Module& module);
  void offload(Module& module);

 private:
  std::vector<NamedTensor> tensors(Module& module, bool include_buffers, bool remove_non_persistent) const;
  void forget_tied();

  AlignDevices settings_;
  const Device* input_device_ = nullptr;
  std::vector<std::pair<std::string, const Device*>> original_devices_;
  std::vector<std::string> tied_names_;
  std::vector<std::pair<StoredTensor, const Device*>> tied_to_remove_;
};

}  // namespace bigmodel
