// SPDX-License-Identifier: Apache-2.0
// The operations of the device that a tensor lies on: what blocks compute with.
#pragma once

#include <optional>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/engine/forward_state.h"
#include "bigmodel/ops/cpu_ops.h"

namespace bigmodel {

/// For the length of an expression or a block: `const OperationsOn on(x, state); on->norm(...)`.
class OperationsOn {
 public:
  OperationsOn(const Tensor& x, const ForwardState& state) : accelerator_(x.device().accelerator()) {
    if (accelerator_ == nullptr) processor_.emplace(state.context());
  }
  const ops::DeviceOps& operator*() const noexcept { return accelerator_ == nullptr ? *processor_ : accelerator_->operations(); }
  const ops::DeviceOps* operator->() const noexcept { return &**this; }
  /// Null where the processor computes.
  const Accelerator* accelerator() const noexcept { return accelerator_; }

 private:
  const Accelerator* accelerator_;
  std::optional<ops::CpuOps> processor_;
};

}  // namespace bigmodel
