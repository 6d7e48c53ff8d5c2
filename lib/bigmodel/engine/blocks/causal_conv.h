// SPDX-License-Identifier: Apache-2.0
// A depthwise convolution over the last few tokens, with the tail that it needs for the next call.
#pragma once

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// A member with weight [channels, 1, kernel] and an optional bias [channels].
class CausalConv {
 public:
  CausalConv(Roles& roles, std::string_view member);

  std::int64_t channels() const noexcept { return channels_; }
  /// [batch, kernel - 1, channels], what TensorState must hold; zeros stand for what was before the first token.
  Shape tail_shape(std::int64_t batch) const { return {batch, kernel_ - 1, channels_}; }
  /// x [batch, length, channels] -> the same shape; y[t] = sum over k of weight[k] * x[t - kernel + 1 + k] + bias. Updates `tail`.
  Tensor operator()(const Tensor& x, const Tensor& tail, const ForwardState& state) const;

 private:
  ModuleTensor* weight_;
  ModuleTensor* bias_;
  std::int64_t channels_, kernel_;
};

}  // namespace bigmodel
