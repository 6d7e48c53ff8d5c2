// SPDX-License-Identifier: Apache-2.0
// T5's relative positions: a learned bias per head for buckets of distances.
#pragma once

#include <cstdint>

#include "bigmodel/engine/forward_state.h"

namespace bigmodel {

class Roles;
class Module;
class Accelerator;

class RelativeBias {
 public:
  /// Roles: relative_bias (a module with weight [buckets, heads]), buckets, max_distance, cross. A layer without a table of its own takes
  /// the bias that an earlier layer of the stack left in the state.
  RelativeBias(Roles& roles, std::int64_t heads, bool causal);

  /// [heads, length, columns] in the state, or null where the attention has none. `device`: an accelerator that reads it; null: the processor.
  const float* bias(ForwardState& state, const Accelerator* device = nullptr) const;

 private:
  bool lay(ForwardState& state) const;
  std::int64_t bucket(std::int64_t distance) const;

  Module* table_ = nullptr;
  std::int64_t heads_, buckets_ = 0, most_ = 0;
  bool causal_, shared_ = false;
};

}  // namespace bigmodel
