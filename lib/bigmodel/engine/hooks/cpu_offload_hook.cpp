// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, hooks.py, CpuOffload.
#include "bigmodel/engine/hooks/cpu_offload_hook.h"

namespace bigmodel {
namespace {

/// Where the model is: its first parameter is; a model without parameters is in RAM.
const Device* device_of(const Module& model) {
  const Device* found = nullptr;
  model.for_each([&](const Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (found == nullptr && !t.is_buffer) found = t.device;
    }
  });
  return found == nullptr ? &cpu_device() : found;
}

}  // namespace

void UserCpuOffloadHook::offload() { run_init_hook(*hook_, *model_); }
void UserCpuOffloadHook::remove() { model_->remove_hook(); }

void CpuOffload::init_hook(Module& module) { module.to(cpu_device()); }

void CpuOffload::pre_forward(Module& module, Arguments& arguments, ForwardState&) {
  if (previous_ != nullptr && device_of(previous_->model()) != &cpu_device()) previous_->offload();
  if (device_of(module) == &execution_device_) return;
  module.to(execution_device_);
  for (Tensor& argument : arguments) argument = argument.to(execution_device_);
}

}  // namespace bigmodel
