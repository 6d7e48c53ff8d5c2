// SPDX-License-Identifier: Apache-2.0
// A hook on a module of the runtime tree: what runs before and after its forward. Offload is such a hook.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "bigmodel/engine/tensor.h"

namespace bigmodel {

class Module;
struct ForwardState;

/// What a module's forward takes, in order.
using Arguments = std::vector<Tensor>;

/// accelerate's ModelHook. Every call is made from the thread that runs the model.
class ModelHook {
 public:
  virtual ~ModelHook() = default;
  /// When the hook is attached.
  virtual void init_hook(Module&) {}
  /// May change the arguments.
  virtual void pre_forward(Module&, Arguments&, ForwardState&) {}
  /// May change the output.
  virtual void post_forward(Module&, Tensor&, ForwardState&) {}
  /// In the place of post_forward where the forward threw; must not throw.
  virtual void abandon_forward(Module&) noexcept {}
  /// When the hook is removed or replaced.
  virtual void detach_hook(Module&) {}
};

/// Several hooks as one; each event reaches them in order.
class SequentialHook : public ModelHook {
 public:
  explicit SequentialHook(std::vector<std::unique_ptr<ModelHook>> hooks) : hooks_(std::move(hooks)) {}
  void init_hook(Module& module) override;
  void pre_forward(Module& module, Arguments& arguments, ForwardState& state) override;
  void post_forward(Module& module, Tensor& output, ForwardState& state) override;
  void abandon_forward(Module& module) noexcept override;
  void detach_hook(Module& module) override;
  void push_back(std::unique_ptr<ModelHook> hook) { hooks_.push_back(std::move(hook)); }

 private:
  std::vector<std::unique_ptr<ModelHook>> hooks_;
};

}  // namespace bigmodel
