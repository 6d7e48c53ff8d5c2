// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/moe.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/routing.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/engine/weight_slices.h"
#include "bigmodel/ops/experts.h"

namespace bigmodel {
namespace {

class Moe : public BoundBlock {
 public:
  explicit Moe(Roles& roles)
      : rule_(routing_rule(roles)), router_(&roles.need_linear("router")), experts_(&roles.need_child("experts")), shared_(roles.child("shared")),
        shared_gate_(roles.linear("shared_gate")), score_bias_(roles.tensor("score_bias")), count_(linear_out_width(*router_)) {
    if (rule_.top_k > count_) roles.refuse("top_k", fmt::format("{} of {} experts", rule_.top_k, count_));
    rule_.experts = count_;
    const std::int64_t groups = roles.integer("groups", 0);
    if (groups > 0 && count_ % groups != 0) roles.refuse("groups", fmt::format("{} groups of {} experts", groups, count_));
    if (score_bias_ != nullptr && element_count(score_bias_->meta->shape) != count_) roles.refuse("score_bias", "is not one value an expert");
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& input = arguments.front();
    const Tensor x = input.reshaped({input.rows(), input.width()});
    const std::int64_t k = rule_.top_k;
    const OperationsOn on(x, state);
    const Tensor logits = (*router_)(x, state);
    Tensor bias;
    if (score_bias_ != nullptr) {
      bias = beside(x, {count_});
      on->widen(score_bias_->view, bias.data());
    }
    const Tensor ids({x.rows(), k}, DType::int64, x.device());
    const Tensor weights = beside(x, {x.rows(), k});
    on->route(logits.data(), x.rows(), rule_, bias.empty() ? nullptr : bias.data(), ids.ids(), weights.data());
    Tensor out = (*experts_)(Arguments{x, ids, weights}, state);
    if (shared_ != nullptr) {
      const Tensor shared = (*shared_)(x, state);
      if (shared_gate_ != nullptr) {
        const Tensor gate = (*shared_gate_)(x, state);
        on->activate(ops::Activation::sigmoid, gate.data(), gate.count());
        on->scale_rows(shared.data(), shared.rows(), shared.width(), gate.data());
      }
      add_to(out, shared);
    }
    return out.reshaped(input.shape());
  }

  std::vector<ModuleTensor*> exact_matrices(Module&) const override {
    std::vector<ModuleTensor*> out = {router_->find_tensor("weight")};
    if (shared_gate_ != nullptr) out.push_back(shared_gate_->find_tensor("weight"));
    return out;
  }

 private:
  ops::RoutingRule rule_;
  Module* router_;
  Module* experts_;
  Module* shared_;
  Module* shared_gate_;
  ModuleTensor* score_bias_;
  std::int64_t count_;
};

class Experts : public BoundBlock {
 public:
  explicit Experts(Roles& roles)
      : plain_(!roles.has("gate_up")), gate_up_(&roles.need_tensor(plain_ ? "up" : "gate_up")), down_(&roles.need_tensor("down")), gate_up_bias_(roles.tensor("gate_up_bias")),
        down_bias_(roles.tensor("down_bias")) {
    const std::string layout = roles.text("layout", "");
    if (!layout.empty() && layout != "interleaved" && layout != "transposed") roles.refuse("layout", fmt::format("unknown layout '{}'", layout));
    interleaved_ = layout == "interleaved";
    transposed_ = !layout.empty();
    if (interleaved_ && plain_) roles.refuse("layout", "interleaved without a gate");
    clamped_ = roles.text("act", "") == "clamped_swiglu";
    if (clamped_ && plain_) roles.refuse("act", "clamped_swiglu without a gate");
    if (!clamped_) act_ = roles.activation("act");
    alpha_ = roles.number("alpha", 1.0F);
    limit_ = roles.number("limit", 0.0F);
    const Shape& up = gate_up_->meta->shape;
    const Shape& down = down_->meta->shape;
    if (up.size() != 3 || down.size() != 3 || up[0] != down[0]) roles.refuse("gate_up", "expected stacked matrices");
    const std::int64_t width = transposed_ ? down[1] : down[2];
    if ((transposed_ ? up[2] : up[1]) != (plain_ ? 1 : 2) * width) roles.refuse("gate_up", fmt::format("shape {} does not fit down's {}", to_string(up), to_string(down)));
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.at(0);
    const Tensor& ids = arguments.at(1);
    const Tensor& weights = arguments.at(2);
    ops::ExpertWeights w{gate_up_->view, down_->view};
    w.gate_up_bias = gate_up_bias_ == nullptr ? nullptr : &gate_up_bias_->view;
    w.down_bias = down_bias_ == nullptr ? nullptr : &down_bias_->view;
    w.plain = plain_;
    w.transposed = transposed_;
    w.interleaved = interleaved_;
    w.clamped_swiglu = clamped_;
    w.act = act_;
    w.alpha = alpha_;
    w.limit = limit_;
    const Tensor out = beside(x, {x.rows(), x.width()});
    if (gate_up_->slices != nullptr) {
      bring_experts(x, ids, weights, w, state, out);
      return out;
    }
    OperationsOn(x, state)->experts(x.data(), x.rows(), x.width(), ids.ids(), weights.data(), ids.width(), w, out.data(), {.bf16_products = state.context().bf16_products});
    return out;
  }

  std::vector<ModuleTensor*> matrices(Module&) const override {
    if (transposed_) return {};
    return {gate_up_, down_};
  }

  std::vector<ModuleTensor*> sliced(Module&) const override { return {gate_up_, down_}; }

 private:
  /// One after the other, those that the tokens chose.
  void bring_experts(const Tensor& x, const Tensor& ids, const Tensor& weights, ops::ExpertWeights& w, const ForwardState& state, const Tensor& out) const {
    std::fill_n(out.f32(), out.count(), 0.0F);
    const std::vector<std::int64_t> wanted = wanted_slices({ids.i64(), static_cast<std::size_t>(ids.count())});
    TensorView gate_up_bias, down_bias;
    SliceSequence sequence({gate_up_->slices.get(), down_->slices.get()}, wanted);
    std::vector<StoredTensor> here;
    for (const std::int64_t expert : wanted) {
      here.clear();
      here = sequence.next();
      w.gate_up = here[0].view;
      w.down = here[1].view;
      const auto bias = [&](const ModuleTensor* all, TensorView& one, const TensorView*& place) {
        if (all == nullptr) return;
        one = {all->view.dtype, all->view.shape, all->view.data};
        one.shape.front() = 1;
        one.data += expert * byte_count(one.dtype, element_count(one.shape));
        place = &one;
      };
      bias(gate_up_bias_, gate_up_bias, w.gate_up_bias);
      bias(down_bias_, down_bias, w.down_bias);
      ops::add_expert(state.context(), x.f32(), x.rows(), x.width(), ids.i64(), weights.f32(), ids.width(), w, 0, expert, out.f32());
    }
  }

  bool plain_;
  ModuleTensor* gate_up_;
  ModuleTensor* down_;
  ModuleTensor* gate_up_bias_;
  ModuleTensor* down_bias_;
  bool interleaved_ = false, transposed_ = false, clamped_ = false;
  ops::Activation act_ = ops::Activation::identity;
  float alpha_ = 1, limit_ = 0;
};

}  // namespace

std::unique_ptr<BoundBlock> make_moe(Roles& roles) { return std::make_unique<Moe>(roles); }
std::unique_ptr<BoundBlock> make_experts(Roles& roles) { return std::make_unique<Experts>(roles); }

}  // namespace bigmodel
