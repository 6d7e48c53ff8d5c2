// SPDX-License-Identifier: Apache-2.0
// ALiBi: a bias on attention scores that falls with the distance of the key, with one slope per head.
#pragma once

#include <cstdint>
#include <vector>

#include "bigmodel/engine/forward_state.h"

namespace bigmodel {

class Roles;

class Alibi {
 public:
  /// Roles: alibi (on or off), alibi_max (8), alibi_rounding ("bfloat16": the bias is rounded, as falcon does), alibi_scale (a factor).
  Alibi(Roles& roles, std::int64_t heads);

  bool present() const noexcept { return !slopes_.empty(); }
  /// [batch, heads, columns]: slope * position of the key; padding does not count as a position.
  std::vector<float> key_bias(const ForwardState& state) const;

 private:
  std::vector<float> slopes_;
  bool round_ = false;
  float scale_ = 1;
};

}  // namespace bigmodel
