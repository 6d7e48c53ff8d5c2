// SPDX-License-Identifier: Apache-2.0
// A hook on a module of the runtime tree: what runs before and after its forward. Offload is such a hook.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/engine/tensor.h"

namespace bigmodel {

class Device;
class Module;
struct ForwardState;
struct ModuleTensor;

/// What a module's forward takes, in order.
using Arguments = std::vector<Tensor>;

/// accelerate's ModelHook. Every call is made from the thread that runs the model.
class ModelHook {
 public:
  virtual ~ModelHook() = default;
  /// When the hook is attached. Where it throws, the hook is not.
  virtual void init_hook(Module&) {}
  /// May change the arguments.
  virtual void pre_forward(Module&, Arguments&, ForwardState&) {}
  /// May change the output.
  virtual void post_forward(Module&, Tensor&, ForwardState&) {}
  /// In the place of post_forward where pre_forward, the forward or post_forward threw; must not throw.
  virtual void abandon_forward(Module&) noexcept {}
  /// When the hook is removed. As in accelerate, a hook that another one replaces is not told.
  virtual void detach_hook(Module&) {}
  /// Class and settings on one line, as Python's repr of accelerate's hook.
  virtual std::string describe() const { return "ModelHook"; }
};

/// Several hooks as one; each event reaches them in order.
class SequentialHook : public ModelHook {
 public:
  explicit SequentialHook(std::vector<std::shared_ptr<ModelHook>> hooks) : hooks_(std::move(hooks)) {}
  void init_hook(Module& module) override;
  void pre_forward(Module& module, Arguments& arguments, ForwardState& state) override;
  void post_forward(Module& module, Tensor& output, ForwardState& state) override;
  void abandon_forward(Module& module) noexcept override;
  void detach_hook(Module& module) override;
  std::string describe() const override;
  const std::vector<std::shared_ptr<ModelHook>>& hooks() const noexcept { return hooks_; }

 private:
  std::vector<std::shared_ptr<ModelHook>> hooks_;
};

enum class HookEvent { init, pre_forward, post_forward, detach };

/// Is told what hooks do, to trace or measure a model (Module::set_observer). Calls nest as the events do.
class HookObserver {
 public:
  virtual ~HookObserver() = default;
  virtual void hook_begins(const Module&, const ModelHook&, HookEvent) {}
  /// Also where the event threw.
  virtual void hook_ends(const Module&, const ModelHook&, HookEvent) {}
  /// The module's own forward starts.
  virtual void forward_begins(const Module&) {}
  /// set_module_tensor_to_device is called; the device may be null (none stated).
  virtual void tensor_set(const ModuleTensor&, const Device*, bool /*with_value*/) {}
  /// Module::to(device) is called.
  virtual void moved(const Module&, const Device&) {}
};

/// Calls an event of a hook, with the module's observer told. What calls hooks goes through these.
void run_init_hook(ModelHook& hook, Module& module);
void run_pre_forward(ModelHook& hook, Module& module, Arguments& arguments, ForwardState& state);
void run_post_forward(ModelHook& hook, Module& module, Tensor& output, ForwardState& state);
void run_detach_hook(ModelHook& hook, Module& module);

}  // namespace bigmodel
