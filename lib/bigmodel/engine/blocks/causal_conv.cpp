// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/causal_conv.h"

#include "bigmodel/engine/operations_on.h"

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
  const Tensor out = beside(x, x.shape());
  const ops::ConvWeights weights{weight_->view, bias_ == nullptr ? nullptr : &bias_->view, channels_, kernel_};
  OperationsOn(x, state)->causal_conv(x.data(), tail.data(), state.batch, state.length, weights, out.data());
  return out;
}

}  // namespace bigmodel
