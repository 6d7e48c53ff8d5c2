// SPDX-License-Identifier: Apache-2.0
// Where a module's tensors come to life when it is made: accelerate's init_empty_weights and init_on_device.
#pragma once

#include "bigmodel/device/device.h"

namespace bigmodel {

/// Passed to the constructors of modules; by default everything is in RAM.
struct TensorHome {
  const Device* parameters = &cpu_device();
  const Device* buffers = &cpu_device();
};

/// Parameters on meta (names and shapes, no memory); with `include_buffers` buffers too, else those are in RAM.
/// Such a model cannot be moved; load_checkpoint_in_model and load_checkpoint_and_dispatch fill it.
inline TensorHome init_empty_weights(bool include_buffers = false) { return {&meta_device(), include_buffers ? &meta_device() : &cpu_device()}; }

/// Parameters on a device; with `include_buffers` buffers too.
inline TensorHome init_on_device(const Device& device, bool include_buffers = false) { return {&device, include_buffers ? &device : &cpu_device()}; }

}  // namespace bigmodel
