// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/mamba.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/causal_conv.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"

namespace bigmodel {
namespace {

class Mamba : public BoundBlock {
 public:
  explicit Mamba(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), in_(&roles.need_linear("in")), conv_(roles, "conv"), x_(&roles.need_linear("x")),
        dt_(&roles.need_linear("dt")), dt_norm_(roles.child("dt_norm")), b_norm_(roles.child("b_norm")), c_norm_(roles.child("c_norm")),
        a_log_(&roles.need_tensor("A_log")), d_(&roles.need_tensor("D")), out_(&roles.need_linear("out")), states_(roles.integer("state")),
        act_(roles.has("act") ? roles.activation("act") : ops::Activation::silu), inner_(conv_.channels()) {
    roles.find("kernel");
    rank_ = linear_out_width(*x_) - 2 * states_;
    if (linear_out_width(*in_) != 2 * inner_ || rank_ <= 0 || element_count(a_log_->meta->shape) != inner_ * states_) roles.refuse("state", "the shapes do not fit each other");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor x = arguments.front().clone();
    clear_padding(x, state);
    const Tensor both = (*in_)(x, state);
    const KeptState kept(state, slot_, {conv_.tail_shape(state.batch), {state.batch, inner_, states_}});
    const Tensor h = conv_(columns(both, 0, inner_), kept[0], state);
    ops::activate(act_, h.f32(), h.count());
    clear_padding(h, state);
    const Tensor parts = (*x_)(h, state);
    Tensor dt = columns(parts, 0, rank_);
    Tensor b = columns(parts, rank_, states_);
    Tensor c = columns(parts, rank_ + states_, states_);
    if (dt_norm_ != nullptr) dt = (*dt_norm_)(dt, state);
    if (b_norm_ != nullptr) b = (*b_norm_)(b, state);
    if (c_norm_ != nullptr) c = (*c_norm_)(c, state);
    dt = (*dt_)(dt, state);
    std::vector<float> a = values(*a_log_);
    for (float& v : a) v = -std::exp(v);
    const std::vector<float> d = values(*d_);
    Tensor y(h.shape());
    for (std::int64_t row = 0; row < state.batch; ++row) {
      float* ssm = kept[1].f32() + row * inner_ * states_;
      for (std::int64_t t = 0; t < state.length; ++t) {
        const std::int64_t r = row * state.length + t;
        for (std::int64_t i = 0; i < inner_; ++i) {
          const float step = softplus(dt.f32()[r * inner_ + i]);
          const float in = h.f32()[r * inner_ + i];
          float sum = 0;
          for (std::int64_t n = 0; n < states_; ++n) {
            float& s = ssm[i * states_ + n];
            s = std::exp(step * a[static_cast<std::size_t>(i * states_ + n)]) * s + step * b.f32()[r * states_ + n] * in;
            sum += s * c.f32()[r * states_ + n];
          }
          sum += d[static_cast<std::size_t>(i)] * in;
          y.f32()[r * inner_ + i] = sum * ops::activate(act_, both.f32()[r * 2 * inner_ + inner_ + i]);
        }
      }
    }
    return (*out_)(y, state);
  }

 private:
  std::size_t slot_;
  Module* in_;
  CausalConv conv_;
  Module* x_;
  Module* dt_;
  Module* dt_norm_;
  Module* b_norm_;
  Module* c_norm_;
  ModuleTensor* a_log_;
  ModuleTensor* d_;
  Module* out_;
  std::int64_t states_;
  ops::Activation act_;
  std::int64_t inner_, rank_ = 0;
};

class Mamba2 : public BoundBlock {
 public:
  explicit Mamba2(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), in_(&roles.need_linear("in")), conv_(roles, "conv"), dt_bias_(&roles.need_tensor("dt_bias")),
        a_log_(&roles.need_tensor("A_log")), d_(&roles.need_tensor("D")), norm_(roles.child("norm")), out_(&roles.need_linear("out")),
        heads_(roles.integer("heads")), head_dim_(roles.integer("head_dim")), groups_(roles.integer("groups", 1)), states_(roles.integer("state")),
        act_(roles.has("act") ? roles.activation("act") : ops::Activation::silu), least_step_(roles.number("dt_min", 0.0F)),
        most_step_(roles.number("dt_max", std::numeric_limits<float>::infinity())), in_scale_(roles.number("in_scale", 1.0F)), inner_(heads_ * head_dim_) {
    roles.find("kernel");
    if (groups_ <= 0 || heads_ % groups_ != 0 || conv_.channels() != inner_ + 2 * groups_ * states_ ||
        linear_out_width(*in_) != inner_ + conv_.channels() + heads_) {
      roles.refuse("heads", "the shapes do not fit each other");
    }
    lay_part_scales(roles);
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor x = arguments.front().clone();
    clear_padding(x, state);
    if (in_scale_ != 1.0F) scale_by(x, in_scale_);
    const Tensor all = (*in_)(x, state);
    if (!column_scales_.empty()) {
      for (std::int64_t i = 0; i < all.count(); ++i) all.f32()[i] *= column_scales_[static_cast<std::size_t>(i % all.width())];
    }
    const KeptState kept(state, slot_, {conv_.tail_shape(state.batch), {state.batch, heads_, head_dim_, states_}});
    const Tensor gate = columns(all, 0, inner_);
    const Tensor h = conv_(columns(all, inner_, conv_.channels()), kept[0], state);
    ops::activate(act_, h.f32(), h.count());
    clear_padding(h, state);
    const Tensor dt = columns(all, inner_ + conv_.channels(), heads_);
    const std::vector<float> dt_bias = values(*dt_bias_);
    std::vector<float> a = values(*a_log_);
    for (float& v : a) v = -std::exp(v);
    const std::vector<float> d = values(*d_);
    // The reference limits the step in the scan of a prompt, but not in single steps behind it.
    const bool limited = kept.fresh() || state.length > 1;
    Tensor y({state.batch, state.length, inner_});
    for (std::int64_t row = 0; row < state.batch; ++row) {
      for (std::int64_t t = 0; t < state.length; ++t) {
        const std::int64_t r = row * state.length + t;
        const float* in = h.f32() + r * h.width();
        for (std::int64_t n = 0; n < heads_; ++n) {
          const auto head = static_cast<std::size_t>(n);
          float step = softplus(dt.f32()[r * heads_ + n] + dt_bias[head]);
          if (limited) step = std::clamp(step, least_step_, most_step_);
          const float decay = std::exp(step * a[head]);
          const std::int64_t group = n / (heads_ / groups_);
          const float* b = in + inner_ + group * states_;
          const float* c = in + inner_ + (groups_ + group) * states_;
          for (std::int64_t p = 0; p < head_dim_; ++p) {
            const float value = in[n * head_dim_ + p];
            float* ssm = kept[1].f32() + ((row * heads_ + n) * head_dim_ + p) * states_;
            float sum = 0;
            for (std::int64_t s = 0; s < states_; ++s) {
              ssm[s] = decay * ssm[s] + step * value * b[s];
              sum += ssm[s] * c[s];
            }
            y.f32()[r * inner_ + n * head_dim_ + p] = sum + d[head] * value;
          }
        }
      }
    }
    if (norm_ != nullptr) return (*out_)((*norm_)(Arguments{y, gate}, state), state);
    ops::activate(ops::Activation::silu, gate.f32(), gate.count());
    for (std::int64_t i = 0; i < y.count(); ++i) y.f32()[i] *= gate.f32()[i];
    return (*out_)(y, state);
  }

 private:
  /// part_scales: five factors for what the projection gives, gates, inputs, B, C and steps (falcon_h1's mup_vector, which no file holds).
  void lay_part_scales(Roles& roles) {
    const spec::Value* list = roles.find("part_scales");
    if (list == nullptr) return;
    const std::int64_t widths[] = {inner_, inner_, groups_ * states_, groups_ * states_, heads_};
    if (list->if_list() == nullptr || list->if_list()->size() != std::size(widths)) roles.refuse("part_scales", "expected five numbers");
    for (std::size_t part = 0; part < std::size(widths); ++part) {
      const spec::Value& v = (*list->if_list())[part];
      if (v.if_double() == nullptr && v.if_int() == nullptr) roles.refuse("part_scales", fmt::format("expected a number, got {}", v.describe()));
      const double scale = v.if_double() != nullptr ? *v.if_double() : static_cast<double>(*v.if_int());
      column_scales_.insert(column_scales_.end(), static_cast<std::size_t>(widths[part]), static_cast<float>(scale));
    }
  }

  std::size_t slot_;
  Module* in_;
  CausalConv conv_;
  ModuleTensor* dt_bias_;
  ModuleTensor* a_log_;
  ModuleTensor* d_;
  Module* norm_;
  Module* out_;
  std::int64_t heads_, head_dim_, groups_, states_;
  ops::Activation act_;
  float least_step_, most_step_, in_scale_;
  std::int64_t inner_;
  std::vector<float> column_scales_;   ///< [width of in], or empty
};

/// in gives B, C and x; out(C * conv(B * x)).
class ShortConv : public BoundBlock {
 public:
  explicit ShortConv(Roles& roles)
      : slot_(roles.binder().next_cache_slot()), in_(&roles.need_linear("in")), conv_(roles, "conv"), out_(&roles.need_linear("out")) {
    roles.find("kernel");
    if (linear_out_width(*in_) != 3 * conv_.channels()) roles.refuse("in", "does not give three times the channels");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const std::int64_t size = conv_.channels();
    const Tensor x = arguments.front().clone();
    clear_padding(x, state);
    const Tensor all = (*in_)(x, state);
    const KeptState kept(state, slot_, {conv_.tail_shape(state.batch)});
    const Tensor bx = columns(all, 0, size);
    for (std::int64_t r = 0; r < bx.rows(); ++r) {
      for (std::int64_t i = 0; i < size; ++i) bx.f32()[r * size + i] *= all.f32()[r * 3 * size + 2 * size + i];
    }
    const Tensor y = conv_(bx, kept[0], state);
    for (std::int64_t r = 0; r < y.rows(); ++r) {
      for (std::int64_t i = 0; i < size; ++i) y.f32()[r * size + i] *= all.f32()[r * 3 * size + size + i];
    }
    return (*out_)(y, state);
  }

 private:
  std::size_t slot_;
  Module* in_;
  CausalConv conv_;
  Module* out_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_mamba(Roles& roles) { return std::make_unique<Mamba>(roles); }
std::unique_ptr<BoundBlock> make_mamba2(Roles& roles) { return std::make_unique<Mamba2>(roles); }
std::unique_ptr<BoundBlock> make_short_conv(Roles& roles) { return std::make_unique<ShortConv>(roles); }

}  // namespace bigmodel
