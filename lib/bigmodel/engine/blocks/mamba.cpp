// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/mamba.h"

#include <fmt/format.h>

#include <limits>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/causal_conv.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

class Mamba : public BoundBlock {
 public:
  bool runs_on_accelerators() const override { return true; }
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
    const OperationsOn on(x, state);
    const KeptState kept(x, state, slot_, {conv_.tail_shape(state.batch), {state.batch, inner_, states_}});
    const Tensor h = conv_(columns(both, 0, inner_), kept[0], state);
    on->activate(act_, h.data(), h.count());
    clear_padding(h, state);
    const Tensor parts = (*x_)(h, state);
    Tensor dt = columns(parts, 0, rank_);
    Tensor b = columns(parts, rank_, states_);
    Tensor c = columns(parts, rank_ + states_, states_);
    if (dt_norm_ != nullptr) dt = (*dt_norm_)(dt, state);
    if (b_norm_ != nullptr) b = (*b_norm_)(b, state);
    if (c_norm_ != nullptr) c = (*c_norm_)(c, state);
    dt = (*dt_)(dt, state);
    const Tensor y = beside(h, h.shape());
    ops::SelectiveScan scan{.h = h.data(), .dt = dt.data(), .b = b.data(), .c = c.data(), .gate = both.data() + inner_, .gate_stride = 2 * inner_};
    scan.a_log = a_log_->view;
    scan.d = d_->view;
    scan.act = act_;
    scan.state = kept[1].data();
    scan.batch = state.batch;
    scan.length = state.length;
    scan.inner = inner_;
    scan.states = states_;
    on->selective_scan(scan, y.data());
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
  bool runs_on_accelerators() const override { return true; }
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
    const OperationsOn on(x, state);
    if (!column_scales_.empty()) on->scale_columns(all.data(), all.rows(), all.width(), column_scales(on.accelerator(), state));
    const KeptState kept(x, state, slot_, {conv_.tail_shape(state.batch), {state.batch, heads_, head_dim_, states_}});
    const Tensor gate = columns(all, 0, inner_);
    const Tensor h = conv_(columns(all, inner_, conv_.channels()), kept[0], state);
    on->activate(act_, h.data(), h.count());
    clear_padding(h, state);
    ops::SelectiveScan2 scan{.h = h.data(), .dt = all.data() + inner_ + conv_.channels(), .dt_stride = all.width()};
    scan.dt_bias = dt_bias_->view;
    scan.a_log = a_log_->view;
    scan.d = d_->view;
    // The reference limits the step in the scan of a prompt, but not in single steps behind it.
    scan.limited = kept.fresh() || state.length > 1;
    scan.least_step = least_step_;
    scan.most_step = most_step_;
    scan.state = kept[1].data();
    scan.batch = state.batch;
    scan.length = state.length;
    scan.heads = heads_;
    scan.head_dim = head_dim_;
    scan.groups = groups_;
    scan.states = states_;
    const Tensor y = beside(h, {state.batch, state.length, inner_});
    on->selective_scan2(scan, y.data());
    if (norm_ != nullptr) return (*out_)((*norm_)(Arguments{y, gate}, state), state);
    on->activate_times(ops::Activation::silu, gate.data(), inner_, y.data(), inner_, y.rows(), inner_, y.data(), inner_);
    return (*out_)(y, state);
  }

 private:
  TensorView column_scales(const Accelerator* device, ForwardState& state) const {
    const float* data = column_scales_.data();
    if (device != nullptr) data = state.numbers().floats(*device, fmt::format("columns {}", static_cast<const void*>(this)), column_scales_);
    return {DType::float32, {static_cast<std::int64_t>(column_scales_.size())}, reinterpret_cast<const std::byte*>(data)};
  }

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
  bool runs_on_accelerators() const override { return true; }
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
    const KeptState kept(x, state, slot_, {conv_.tail_shape(state.batch)});
    const Tensor bx = columns(all, 0, size);
    const auto times_part = [&](const Tensor& t, std::int64_t part) {
      OperationsOn(t, state)->activate_times(ops::Activation::identity, t.data(), size, all.data() + part * size, 3 * size, t.rows(), size, t.data(), size);
    };
    times_part(bx, 2);
    const Tensor y = conv_(bx, kept[0], state);
    times_part(y, 1);
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
