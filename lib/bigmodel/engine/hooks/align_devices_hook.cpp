// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/hooks/align_devices_hook.h"

namespace bigmodel {

void AlignDevicesHook::to_meta() {
  for (const SlabPlace& p : places_) p.tensor->view.data = nullptr;
  if (held_) prefetcher_.release(slab_);
  held_ = false;
}

void AlignDevicesHook::init_hook(Module&) { to_meta(); }

void AlignDevicesHook::pre_forward(Module&, Arguments&, ForwardState&) {
  const std::byte* memory = prefetcher_.acquire(slab_);
  held_ = true;
  for (const SlabPlace& p : places_) {
    p.tensor->view.dtype = p.dtype;
    p.tensor->view.data = memory + p.offset;
  }
}

void AlignDevicesHook::post_forward(Module&, Tensor&, ForwardState&) { to_meta(); }

void AlignDevicesHook::abandon_forward(Module&) noexcept { to_meta(); }

void AlignDevicesHook::detach_hook(Module&) { to_meta(); }

}  // namespace bigmodel
