// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/recurrent.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/causal_conv.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"

namespace bigmodel {
namespace {

/// out(act(gate x) * recurrence(conv(in x))): h = a h + sqrt(1 - a^2) i x, with gates a and i per block of channels. Position 0 starts anew.
class GatedLinearRecurrence : public BoundBlock {
 public:
  explicit GatedLinearRecurrence(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), gate_(&roles.need_linear("gate")), in_(&roles.need_linear("in")), conv_(roles, "conv"),
        param_(&roles.need_tensor("recurrent_param")), input_gate_(&roles.need_tensor("input_gate")),
        input_bias_(&roles.need_tensor("input_gate_bias")), recurrent_gate_(&roles.need_tensor("recurrent_gate")),
        recurrent_bias_(&roles.need_tensor("recurrent_gate_bias")), out_(&roles.need_linear("out")), act_(roles.activation("act")),
        heads_(roles.integer("heads")) {
    roles.find("kernel");
    const std::int64_t width = conv_.channels();
    if (heads_ <= 0 || width % heads_ != 0 || element_count(input_gate_->meta->shape) != width * (width / heads_) || linear_out_width(*in_) != width) {
      roles.refuse("heads", "the shapes do not fit each other");
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t width = conv_.channels();
    const Tensor y = (*gate_)(x, state);
    ops::activate(act_, y.f32(), y.count());
    const KeptState kept(x, state, slot_, {conv_.tail_shape(state.batch), {state.batch, width}});
    const Tensor h = conv_((*in_)(x, state), kept[0], state);
    const Tensor input = gates(h, *input_gate_, *input_bias_);
    const Tensor recurrent = gates(h, *recurrent_gate_, *recurrent_bias_);
    const std::vector<float> param = values(*param_);
    for (std::int64_t b = 0; b < state.batch; ++b) {
      float* carried = kept[1].f32() + b * width;
      for (std::int64_t t = 0; t < state.length; ++t) {
        const std::int64_t r = b * state.length + t;
        const bool reset = state.positions[static_cast<std::size_t>(r)] == 0;
        for (std::int64_t i = 0; i < width; ++i) {
          const float log_a = -8.0F * recurrent.f32()[r * width + i] * softplus(param[static_cast<std::size_t>(i)]);
          const float multiplier = reset ? 1.0F : std::sqrt(1.0F - std::exp(2.0F * log_a));
          const float value = h.f32()[r * width + i] * input.f32()[r * width + i] * multiplier;
          carried[i] = (reset ? 0.0F : std::exp(log_a)) * carried[i] + value;
          y.f32()[r * width + i] *= carried[i];
        }
      }
    }
    return (*out_)(y, state);
  }

 private:
  /// sigmoid(x W + b), block by block; W [heads, in, out].
  Tensor gates(const Tensor& x, const ModuleTensor& weight, const ModuleTensor& bias) const {
    const std::vector<float> w = values(weight);
    const std::vector<float> b = values(bias);
    const std::int64_t size = x.width() / heads_;
    Tensor out(x.shape());
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      for (std::int64_t h = 0; h < heads_; ++h) {
        const float* from = x.f32() + r * x.width() + h * size;
        float* to = out.f32() + r * x.width() + h * size;
        for (std::int64_t o = 0; o < size; ++o) to[o] = b[static_cast<std::size_t>(h * size + o)];
        for (std::int64_t i = 0; i < size; ++i) {
          for (std::int64_t o = 0; o < size; ++o) to[o] += from[i] * w[static_cast<std::size_t>((h * size + i) * size + o)];
        }
      }
    }
    ops::activate(ops::Activation::sigmoid, out.f32(), out.count());
    return out;
  }

  std::size_t slot_;
  Module* gate_;
  Module* in_;
  CausalConv conv_;
  ModuleTensor* param_;
  ModuleTensor* input_gate_;
  ModuleTensor* input_bias_;
  ModuleTensor* recurrent_gate_;
  ModuleTensor* recurrent_bias_;
  Module* out_;
  ops::Activation act_;
  std::int64_t heads_;
};

/// x * mix + (the token before) * (1 - mix).
Tensor mixed_with_before(const Tensor& x, const Tensor& before, const ModuleTensor& mix, const ForwardState& state) {
  const std::vector<float> m = values(mix);
  const std::int64_t size = x.width();
  Tensor out(x.shape());
  for (std::int64_t b = 0; b < state.batch; ++b) {
    for (std::int64_t t = 0; t < state.length; ++t) {
      const std::int64_t r = b * state.length + t;
      const float* last = t == 0 ? before.f32() + b * size : x.f32() + (r - 1) * size;
      for (std::int64_t i = 0; i < size; ++i) {
        const float w = m[static_cast<std::size_t>(i)];
        out.f32()[r * size + i] = x.f32()[r * size + i] * w + last[i] * (1.0F - w);
      }
    }
  }
  return out;
}

void keep_last(const Tensor& x, const Tensor& before, const ForwardState& state) {
  const std::int64_t size = x.width();
  for (std::int64_t b = 0; b < state.batch; ++b) {
    std::memcpy(before.f32() + b * size, x.f32() + ((b + 1) * state.length - 1) * size, static_cast<std::size_t>(size) * sizeof(float));
  }
}

/// A running softmax average of values with decaying weights, kept as numerator, denominator and the largest exponent.
class RwkvTimeMix : public BoundBlock {
 public:
  explicit RwkvTimeMix(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), key_(&roles.need_linear("key")), value_(&roles.need_linear("value")),
        receptance_(&roles.need_linear("receptance")), out_(&roles.need_linear("out")), decay_(&roles.need_tensor("decay")),
        first_(&roles.need_tensor("first")), mix_key_(&roles.need_tensor("mix_key")), mix_value_(&roles.need_tensor("mix_value")),
        mix_receptance_(&roles.need_tensor("mix_receptance")) {}

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t size = linear_out_width(*key_);
    const KeptState kept(x, state, slot_, {{state.batch, x.width()}, {state.batch, size}, {state.batch, size}, {state.batch, size}});
    if (kept.fresh()) std::fill(kept[3].f32(), kept[3].f32() + kept[3].count(), -1e30F);
    const Tensor key = (*key_)(mixed_with_before(x, kept[0], *mix_key_, state), state);
    const Tensor value = (*value_)(mixed_with_before(x, kept[0], *mix_value_, state), state);
    const Tensor gate = (*receptance_)(mixed_with_before(x, kept[0], *mix_receptance_, state), state);
    keep_last(x, kept[0], state);
    ops::activate(ops::Activation::sigmoid, gate.f32(), gate.count());
    std::vector<float> decay = values(*decay_);
    for (float& v : decay) v = -std::exp(v);
    const std::vector<float> first = values(*first_);
    for (std::int64_t b = 0; b < state.batch; ++b) {
      for (std::int64_t t = 0; t < state.length; ++t) {
        const std::int64_t r = (b * state.length + t) * size;
        for (std::int64_t i = 0; i < size; ++i) {
          float& numerator = kept[1].f32()[b * size + i];
          float& denominator = kept[2].f32()[b * size + i];
          float& most = kept[3].f32()[b * size + i];
          const float k = key.f32()[r + i];
          const float v = value.f32()[r + i];
          const float now = k + first[static_cast<std::size_t>(i)];
          const float top = std::max(most, now);
          const float old = std::exp(most - top);
          const float fresh = std::exp(now - top);
          gate.f32()[r + i] *= (old * numerator + fresh * v) / (old * denominator + fresh);
          const float later = most + decay[static_cast<std::size_t>(i)];
          const float next = std::max(later, k);
          numerator = std::exp(later - next) * numerator + std::exp(k - next) * v;
          denominator = std::exp(later - next) * denominator + std::exp(k - next);
          most = next;
        }
      }
    }
    return (*out_)(gate, state);
  }

 private:
  std::size_t slot_;
  Module* key_;
  Module* value_;
  Module* receptance_;
  Module* out_;
  ModuleTensor* decay_;
  ModuleTensor* first_;
  ModuleTensor* mix_key_;
  ModuleTensor* mix_value_;
  ModuleTensor* mix_receptance_;
};

class RwkvChannelMix : public BoundBlock {
 public:
  explicit RwkvChannelMix(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), key_(&roles.need_linear("key")), value_(&roles.need_linear("value")),
        receptance_(&roles.need_linear("receptance")), mix_key_(&roles.need_tensor("mix_key")), mix_receptance_(&roles.need_tensor("mix_receptance")) {}

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const KeptState kept(x, state, slot_, {{state.batch, x.width()}});
    const Tensor key = (*key_)(mixed_with_before(x, kept[0], *mix_key_, state), state);
    const Tensor gate = (*receptance_)(mixed_with_before(x, kept[0], *mix_receptance_, state), state);
    keep_last(x, kept[0], state);
    ops::activate(ops::Activation::relu_squared, key.f32(), key.count());
    ops::activate(ops::Activation::sigmoid, gate.f32(), gate.count());
    const Tensor out = (*value_)(key, state);
    for (std::int64_t i = 0; i < out.count(); ++i) out.f32()[i] *= gate.f32()[i];
    return out;
  }

 private:
  std::size_t slot_;
  Module* key_;
  Module* value_;
  Module* receptance_;
  ModuleTensor* mix_key_;
  ModuleTensor* mix_receptance_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_gated_linear_recurrence(Roles& roles) { return std::make_unique<GatedLinearRecurrence>(roles); }
std::unique_ptr<BoundBlock> make_rwkv_time_mix(Roles& roles) { return std::make_unique<RwkvTimeMix>(roles); }
std::unique_ptr<BoundBlock> make_rwkv_channel_mix(Roles& roles) { return std::make_unique<RwkvChannelMix>(roles); }

}  // namespace bigmodel
