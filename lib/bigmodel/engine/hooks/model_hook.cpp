// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/hooks/model_hook.h"

#include "bigmodel/engine/module.h"

namespace bigmodel {
namespace {

class Told {
 public:
  Told(const Module& module, const ModelHook& hook, HookEvent event) : module_(module), hook_(hook), event_(event) {
    if (module_.observer() != nullptr) module_.observer()->hook_begins(module_, hook_, event_);
  }
  ~Told() {
    if (module_.observer() != nullptr) module_.observer()->hook_ends(module_, hook_, event_);
  }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;

 private:
  const Module& module_;
  const ModelHook& hook_;
  HookEvent event_;
};

}  // namespace

void run_init_hook(ModelHook& hook, Module& module) {
  const Told told(module, hook, HookEvent::init);
  hook.init_hook(module);
}
void run_pre_forward(ModelHook& hook, Module& module, Arguments& arguments, ForwardState& state) {
  const Told told(module, hook, HookEvent::pre_forward);
  hook.pre_forward(module, arguments, state);
}
void run_post_forward(ModelHook& hook, Module& module, Tensor& output, ForwardState& state) {
  const Told told(module, hook, HookEvent::post_forward);
  hook.post_forward(module, output, state);
}
void run_detach_hook(ModelHook& hook, Module& module) {
  const Told told(module, hook, HookEvent::detach);
  hook.detach_hook(module);
}

void SequentialHook::init_hook(Module& module) {
  std::size_t done = 0;
  try {
    for (; done < hooks_.size(); ++done) run_init_hook(*hooks_[done], module);
  } catch (...) {
    while (done-- > 0) run_detach_hook(*hooks_[done], module);
    throw;
  }
}
void SequentialHook::pre_forward(Module& module, Arguments& arguments, ForwardState& state) {
  for (auto& hook : hooks_) run_pre_forward(*hook, module, arguments, state);
}
void SequentialHook::post_forward(Module& module, Tensor& output, ForwardState& state) {
  for (auto& hook : hooks_) run_post_forward(*hook, module, output, state);
}
void SequentialHook::abandon_forward(Module& module) noexcept {
  for (auto& hook : hooks_) hook->abandon_forward(module);
}
void SequentialHook::detach_hook(Module& module) {
  for (auto& hook : hooks_) run_detach_hook(*hook, module);
}
std::string SequentialHook::describe() const {
  std::string out = "SequentialHook(";
  for (std::size_t i = 0; i < hooks_.size(); ++i) out += (i == 0 ? "" : ", ") + hooks_[i]->describe();
  return out + ")";
}

}  // namespace bigmodel
