// SPDX-License-Identifier: Apache-2.0
// Weights kept in a small dtype and cast up for the time of their layer's forward.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/engine/module.h"

namespace bigmodel {

class LayerwiseCastingHook : public ModelHook {
 public:
  LayerwiseCastingHook(DType storage_dtype, DType compute_dtype) : storage_dtype_(storage_dtype), compute_dtype_(compute_dtype) {}
  void init_hook(Module& module) override { module.to(storage_dtype_); }
  void pre_forward(Module& module, Arguments&, ForwardState&) override;
  void post_forward(Module& module, Tensor&, ForwardState&) override { back_to_storage(module); }
  void abandon_forward(Module& module) noexcept override;
  std::string describe() const override;
  DType storage_dtype() const noexcept { return storage_dtype_; }
  DType compute_dtype() const noexcept { return compute_dtype_; }

 private:
  /// A tensor as it is stored, and the elements that it was cast to.
  struct Stored {
    ModuleTensor* tensor;
    StoredTensor value;
    const std::byte* cast;
  };
  void back_to_storage(Module& module);

  DType storage_dtype_;
  DType compute_dtype_;
  std::vector<Stored> stored_;   ///< during a forward
};

struct LayerwiseCasting {
  DType storage_dtype = DType::float8_e4m3fn;
  DType compute_dtype = DType::float32;
  /// Regular expressions (ECMAScript), searched in the dotted name; what they meet is left out with all below it.
  std::vector<std::string> skip_modules_pattern;
  /// The same by class.
  std::vector<std::string> skip_modules_classes;
};

/// The modules that attach_layerwise_casting_hooks puts hooks on. Throws UsageError.
std::vector<Module*> layerwise_casting_modules(Module& module, const LayerwiseCasting& options);

/// On every Linear, Conv1d, Conv2d, Conv3d and ConvTranspose1d to 3d at or below the module, after the hook that is there.
/// Throws UsageError for a dtype that is not floating-point or a pattern that is no expression; nothing is attached then.
void attach_layerwise_casting_hooks(Module& module, const LayerwiseCasting& options);

}  // namespace bigmodel
