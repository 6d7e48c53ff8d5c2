// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/hooks/model_hook.h"

namespace bigmodel {

void SequentialHook::init_hook(Module& module) {
  for (auto& hook : hooks_) hook->init_hook(module);
}
void SequentialHook::pre_forward(Module& module, Arguments& arguments, ForwardState& state) {
  for (auto& hook : hooks_) hook->pre_forward(module, arguments, state);
}
void SequentialHook::post_forward(Module& module, Tensor& output, ForwardState& state) {
  for (auto& hook : hooks_) hook->post_forward(module, output, state);
}
void SequentialHook::abandon_forward(Module& module) noexcept {
  for (auto& hook : hooks_) hook->abandon_forward(module);
}
void SequentialHook::detach_hook(Module& module) {
  for (auto& hook : hooks_) hook->detach_hook(module);
}

}  // namespace bigmodel
