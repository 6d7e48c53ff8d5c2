// SPDX-License-Identifier: Apache-2.0
// A module that looks rows of its weight up by ids.
#pragma once

#include "bigmodel/engine/module.h"

namespace bigmodel {

/// int64 [...] -> float32 [..., size]. Throws UsageError for an id outside the table.
class EmbeddingBlock : public BoundBlock {
 public:
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override;
  std::vector<ModuleTensor*> sliced(Module& self) const override { return {self.find_tensor("weight")}; }
  bool runs_on_accelerators() const override { return true; }
};

}  // namespace bigmodel
