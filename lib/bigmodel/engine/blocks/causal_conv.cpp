// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/causal_conv.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel {

CausalConv::CausalConv(Roles& roles, std::string_view member) {
  Module* module = roles.plain_module(member);
  if (module == nullptr) roles.refuse(member, "is missing");
  weight_ = roles.tensor_of(*module, "weight");
  bias_ = roles.tensor_of(*module, "bias");
  if (weight_ == nullptr || weight_->meta->shape.size() != 3 || weight_->meta->shape[1] != 1) roles.refuse(member, "expected a depthwise convolution");
  channels_ = weight_->meta->shape[0];
  kernel_ = weight_->meta->shape[2];
  if (kernel_ < 1) roles.refuse(member, "has no kernel");
}

Tensor CausalConv::operator()(const Tensor& x, const Tensor& tail, const ForwardState& state) const {
  const std::int64_t channels = channels_;
  const std::int64_t before = kernel_ - 1;
  std::vector<float> weight(static_cast<std::size_t>(channels * kernel_));
  ops::widen(weight_->view, 0, channels * kernel_, weight.data());
  std::vector<float> bias(static_cast<std::size_t>(channels), 0.0F);
  if (bias_ != nullptr) ops::widen(bias_->view, 0, channels, bias.data());
  Tensor out(x.shape());
  for (std::int64_t b = 0; b < state.batch; ++b) {
    float* kept = tail.f32() + b * before * channels;
    const float* from = x.f32() + b * state.length * channels;
    const auto input = [&](std::int64_t t) { return t < 0 ? kept + (t + before) * channels : from + t * channels; };
    for (std::int64_t t = 0; t < state.length; ++t) {
      float* to = out.f32() + (b * state.length + t) * channels;
      std::copy(bias.begin(), bias.end(), to);
      for (std::int64_t k = 0; k < kernel_; ++k) {
        const float* in = input(t - before + k);
        for (std::int64_t c = 0; c < channels; ++c) to[c] += weight[static_cast<std::size_t>(c * kernel_ + k)] * in[c];
      }
    }
    std::vector<float> next;
    for (std::int64_t t = state.length - before; t < state.length; ++t) next.insert(next.end(), input(t), input(t) + channels);
    std::ranges::copy(next, kept);
  }
  return out;
}

}  // namespace bigmodel
