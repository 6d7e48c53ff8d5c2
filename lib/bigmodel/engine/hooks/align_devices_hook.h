// SPDX-License-Identifier: Apache-2.0
// Offload as a hook: before a module's forward its tensors come from where they sleep, after it they are on meta again.
#pragma once

#include <functional>
#include <vector>

#include "bigmodel/engine/module.h"
#include "bigmodel/engine/prefetcher.h"

namespace bigmodel {

/// A tensor of a module and where it lies in its slab.
struct SlabPlace {
  ModuleTensor* tensor = nullptr;
  DType dtype = DType::float32;
  std::uint64_t offset = 0;
};

class AlignDevicesHook : public ModelHook {
 public:
  /// The prefetcher must outlive the hook.
  AlignDevicesHook(Prefetcher& prefetcher, std::size_t slab, std::vector<SlabPlace> places)
      : prefetcher_(prefetcher), slab_(slab), places_(std::move(places)) {}

  void init_hook(Module& module) override;
  void pre_forward(Module& module, Arguments& arguments, ForwardState& state) override;
  void post_forward(Module& module, Tensor& output, ForwardState& state) override;
  void abandon_forward(Module& module) noexcept override;
  void detach_hook(Module& module) override;

 private:
  void to_meta();

  Prefetcher& prefetcher_;
  std::size_t slab_;
  std::vector<SlabPlace> places_;
  bool held_ = false;
};

}  // namespace bigmodel
