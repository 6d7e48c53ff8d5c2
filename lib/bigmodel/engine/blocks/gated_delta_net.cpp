// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/causal_conv.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/recurrent.h"

namespace bigmodel {
namespace {

void normalise(float* x, std::int64_t size, float scale) {
  float sum = 0;
  for (std::int64_t i = 0; i < size; ++i) sum += x[i] * x[i];
  const float factor = scale / std::sqrt(sum + 1e-6F);
  for (std::int64_t i = 0; i < size; ++i) x[i] *= factor;
}

/// Per value head a matrix S [key_dim, value_dim]: S = e^g S; S += k (beta (v - k S)); out = q S.
class GatedDeltaNet : public BoundBlock {
 public:
  explicit GatedDeltaNet(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), in_qkvz_(roles.linear("in_qkvz")), in_ba_(roles.linear("in_ba")), in_qkv_(roles.linear("in_qkv")),
        in_z_(roles.linear("in_z")), in_b_(roles.linear("in_b")), in_a_(roles.linear("in_a")), conv_(roles, "conv"),
        dt_bias_(&roles.need_tensor("dt_bias")), a_log_(&roles.need_tensor("A_log")), norm_(&roles.need_child("norm")),
        out_(&roles.need_linear("out")), act_(roles.activation("act")), key_heads_(roles.integer("key_heads")),
        value_heads_(roles.integer("value_heads")), key_dim_(roles.integer("key_dim")), value_dim_(roles.integer("value_dim")) {
    roles.find("kernel");
    const bool fused = in_qkvz_ != nullptr && in_ba_ != nullptr;
    const bool separate = in_qkv_ != nullptr && in_z_ != nullptr && in_b_ != nullptr && in_a_ != nullptr;
    if (fused == separate) roles.refuse("in_qkvz", "expected in_qkvz and in_ba, or in_qkv, in_z, in_b and in_a");
    const auto gives = [](Module* module, std::int64_t width) { return module == nullptr || linear_out_width(*module) == width; };
    const std::int64_t qkv = 2 * key_heads_ * key_dim_ + value_heads_ * value_dim_;
    if (key_heads_ <= 0 || value_heads_ % key_heads_ != 0 || conv_.channels() != qkv || !gives(in_qkvz_, qkv + value_heads_ * value_dim_) || !gives(in_ba_, 2 * value_heads_) ||
        !gives(in_qkv_, qkv) || !gives(in_z_, value_heads_ * value_dim_) || !gives(in_b_, value_heads_) || !gives(in_a_, value_heads_)) {
      roles.refuse("key_heads", "the shapes do not fit each other");
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor x = arguments.front().clone();
    clear_padding(x, state);
    const std::int64_t ratio = value_heads_ / key_heads_;
    const Inputs in = inputs(x, ratio, state);
    const KeptState kept(x, state, slot_, {conv_.tail_shape(state.batch), {state.batch, value_heads_, key_dim_, value_dim_}});
    const Tensor h = conv_(in.mixed, kept[0], state);
    ops::activate(act_, h.f32(), h.count());
    std::vector<float> decay = values(*a_log_);
    for (float& v : decay) v = -std::exp(v);
    const std::vector<float> dt_bias = values(*dt_bias_);
    const float scale = 1.0F / std::sqrt(static_cast<float>(key_dim_));
    Tensor y({x.rows() * value_heads_, value_dim_});
    std::vector<float> delta(static_cast<std::size_t>(value_dim_));
    for (std::int64_t b = 0; b < state.batch; ++b) {
      for (std::int64_t t = 0; t < state.length; ++t) {
        const std::int64_t r = b * state.length + t;
        float* row = h.f32() + r * h.width();
        for (std::int64_t n = 0; n < key_heads_; ++n) {
          normalise(row + n * key_dim_, key_dim_, scale);
          normalise(row + (key_heads_ + n) * key_dim_, key_dim_, 1.0F);
        }
        for (std::int64_t n = 0; n < value_heads_; ++n) {
          const float beta = ops::activate(ops::Activation::sigmoid, in.beta.f32()[r * value_heads_ + n]);
          const auto head = static_cast<std::size_t>(n);
          const float keep = std::exp(decay[head] * softplus(in.step.f32()[r * value_heads_ + n] + dt_bias[head]));
          const float* q = row + n / ratio * key_dim_;
          const float* k = row + (key_heads_ + n / ratio) * key_dim_;
          const float* v = row + 2 * key_heads_ * key_dim_ + n * value_dim_;
          float* s = kept[1].f32() + (b * value_heads_ + n) * key_dim_ * value_dim_;
          std::fill(delta.begin(), delta.end(), 0.0F);
          for (std::int64_t i = 0; i < key_dim_; ++i) {
            for (std::int64_t d = 0; d < value_dim_; ++d) {
              s[i * value_dim_ + d] *= keep;
              delta[static_cast<std::size_t>(d)] += s[i * value_dim_ + d] * k[i];
            }
          }
          float* to = y.f32() + (r * value_heads_ + n) * value_dim_;
          std::fill(to, to + value_dim_, 0.0F);
          for (std::int64_t d = 0; d < value_dim_; ++d) delta[static_cast<std::size_t>(d)] = (v[d] - delta[static_cast<std::size_t>(d)]) * beta;
          for (std::int64_t i = 0; i < key_dim_; ++i) {
            for (std::int64_t d = 0; d < value_dim_; ++d) {
              s[i * value_dim_ + d] += k[i] * delta[static_cast<std::size_t>(d)];
              to[d] += s[i * value_dim_ + d] * q[i];
            }
          }
        }
      }
    }
    const Tensor normed = (*norm_)(Arguments{y, in.z}, state);
    return (*out_)(normed.reshaped({state.batch, state.length, value_heads_ * value_dim_}), state);
  }

 private:
  /// What the projections give: queries, keys and values side by side, gates, and a beta and a step for each value head.
  struct Inputs {
    Tensor mixed, z, beta, step;
  };

  Inputs inputs(const Tensor& x, std::int64_t ratio, ForwardState& state) const {
    if (in_qkvz_ == nullptr) return {(*in_qkv_)(x, state), (*in_z_)(x, state).reshaped({x.rows() * value_heads_, value_dim_}), (*in_b_)(x, state), (*in_a_)(x, state)};
    Inputs out{Tensor({state.batch, state.length, conv_.channels()}), Tensor({x.rows() * value_heads_, value_dim_}), Tensor({x.rows(), value_heads_}), Tensor({x.rows(), value_heads_})};
    split((*in_qkvz_)(x, state), out.mixed, out.z, ratio);
    // Of each key head's rows: first the betas of its value heads, then their steps.
    const Tensor ba = (*in_ba_)(x, state);
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      for (std::int64_t n = 0; n < value_heads_; ++n) {
        const float* own = ba.f32() + r * 2 * value_heads_ + n / ratio * 2 * ratio;
        out.beta.f32()[r * value_heads_ + n] = own[n % ratio];
        out.step.f32()[r * value_heads_ + n] = own[ratio + n % ratio];
      }
    }
    return out;
  }

  /// Each key head's rows of the projection are its query, its key, its value heads and their gates; the convolution wants all queries, all
  /// keys, all values.
  void split(const Tensor& qkvz, const Tensor& mixed, const Tensor& z, std::int64_t ratio) const {
    const auto keys = static_cast<std::size_t>(key_dim_) * sizeof(float);
    const auto rows = static_cast<std::size_t>(ratio * value_dim_) * sizeof(float);
    for (std::int64_t r = 0; r < qkvz.rows(); ++r) {
      const float* from = qkvz.f32() + r * qkvz.width();
      float* to = mixed.f32() + r * mixed.width();
      for (std::int64_t n = 0; n < key_heads_; ++n) {
        std::memcpy(to + n * key_dim_, from, keys);
        std::memcpy(to + (key_heads_ + n) * key_dim_, from + key_dim_, keys);
        std::memcpy(to + 2 * key_heads_ * key_dim_ + n * ratio * value_dim_, from + 2 * key_dim_, rows);
        std::memcpy(z.f32() + (r * value_heads_ + n * ratio) * value_dim_, from + 2 * key_dim_ + ratio * value_dim_, rows);
        from += 2 * key_dim_ + 2 * ratio * value_dim_;
      }
    }
  }

  std::size_t slot_;
  Module* in_qkvz_;
  Module* in_ba_;
  Module* in_qkv_;
  Module* in_z_;
  Module* in_b_;
  Module* in_a_;
  CausalConv conv_;
  ModuleTensor* dt_bias_;
  ModuleTensor* a_log_;
  Module* norm_;
  Module* out_;
  ops::Activation act_;
  std::int64_t key_heads_, value_heads_, key_dim_, value_dim_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_gated_delta_net(Roles& roles) { return std::make_unique<GatedDeltaNet>(roles); }

}  // namespace bigmodel
