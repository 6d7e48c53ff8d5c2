// SPDX-License-Identifier: Apache-2.0
// A whole model that goes to its device for a forward and stays there until it is sent back: for several models that take turns.
#pragma once

#include <memory>

#include "bigmodel/engine/module.h"

namespace bigmodel {

class CpuOffload;

/// A model and its CpuOffload hook, for the caller to send the model back or to end it. The model must outlive it.
class UserCpuOffloadHook {
 public:
  UserCpuOffloadHook(Module& model, std::shared_ptr<CpuOffload> hook) : model_(&model), hook_(std::move(hook)) {}
  /// The model goes to RAM.
  void offload();
  /// The model's hook is removed; the model stays where it is.
  void remove();
  Module& model() const noexcept { return *model_; }

 private:
  Module* model_;
  std::shared_ptr<CpuOffload> hook_;
};

class CpuOffload : public ModelHook {
 public:
  /// `previous`: is offloaded before this model runs, where its model is not in RAM.
  explicit CpuOffload(const Device& execution_device, std::shared_ptr<UserCpuOffloadHook> previous = nullptr)
      : execution_device_(execution_device), previous_(std::move(previous)) {}
  void init_hook(Module& module) override;
  void pre_forward(Module& module, Arguments& arguments, ForwardState& state) override;
  std::string describe() const override { return "CpuOffload(execution_device=" + execution_device_.name() + ")"; }
  const Device& execution_device() const noexcept { return execution_device_; }

 private:
  const Device& execution_device_;
  std::shared_ptr<UserCpuOffloadHook> previous_;
};

}  // namespace bigmodel
