// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/moe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/routing.h"
#include "bigmodel/ops/linear.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel {
namespace {

class Moe : public BoundBlock {
 public:
  explicit Moe(Roles& roles)
      : routing_(roles), router_(&roles.need_linear("router")), experts_(&roles.need_child("experts")), shared_(roles.child("shared")),
        shared_gate_(roles.linear("shared_gate")), score_bias_(roles.tensor("score_bias")), count_(linear_out_width(*router_)) {
    if (routing_.top_k() > count_) roles.refuse("top_k", fmt::format("{} of {} experts", routing_.top_k(), count_));
    const std::int64_t groups = roles.integer("groups", 0);
    if (groups > 0 && count_ % groups != 0) roles.refuse("groups", fmt::format("{} groups of {} experts", groups, count_));
    if (score_bias_ != nullptr && element_count(score_bias_->meta->shape) != count_) roles.refuse("score_bias", "is not one value an expert");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& input = arguments.front();
    const Tensor x = input.reshaped({input.rows(), input.width()});
    const std::int64_t k = routing_.top_k();
    const Tensor logits = (*router_)(x, state);
    std::vector<float> bias;
    if (score_bias_ != nullptr) {
      bias.resize(static_cast<std::size_t>(count_));
      ops::widen(score_bias_->view, 0, count_, bias.data());
    }
    Tensor ids({x.rows(), k}, DType::int64);
    Tensor weights({x.rows(), k});
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      routing_.route({logits.f32() + r * count_, static_cast<std::size_t>(count_)}, bias, ids.i64() + r * k, weights.f32() + r * k);
    }
    Tensor out = (*experts_)(Arguments{x, ids, weights}, state);
    if (shared_ != nullptr) {
      const Tensor shared = (*shared_)(x, state);
      if (shared_gate_ != nullptr) {
        const Tensor gate = (*shared_gate_)(x, state);
        for (std::int64_t r = 0; r < x.rows(); ++r) {
          const float g = ops::activate(ops::Activation::sigmoid, gate.f32()[r]);
          for (std::int64_t i = 0; i < shared.width(); ++i) shared.f32()[r * shared.width() + i] *= g;
        }
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
  Routing routing_;
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
    width_ = transposed_ ? down[1] : down[2];
    parts_ = plain_ ? 1 : 2;
    if ((transposed_ ? up[2] : up[1]) != parts_ * width_) roles.refuse("gate_up", fmt::format("shape {} does not fit down's {}", to_string(up), to_string(down)));
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.at(0);
    const Tensor& ids = arguments.at(1);
    const Tensor& weights = arguments.at(2);
    const std::int64_t size = x.width();
    const std::int64_t k = ids.width();
    const auto row_bytes = static_cast<std::size_t>(size) * sizeof(float);
    Tensor out = Tensor::zeros({x.rows(), size});
    std::vector<std::int64_t> slots;
    for (std::int64_t e = 0; e < gate_up_->view.size(0); ++e) {
      slots.clear();
      for (std::int64_t i = 0; i < ids.count(); ++i) {
        if (ids.i64()[i] == e) slots.push_back(i);
      }
      if (slots.empty()) continue;
      const auto count = static_cast<std::int64_t>(slots.size());
      Tensor in({count, size});
      for (std::int64_t i = 0; i < count; ++i) std::memcpy(in.f32() + i * size, x.f32() + slots[static_cast<std::size_t>(i)] / k * size, row_bytes);
      Tensor both({count, parts_ * width_});
      product(state.context(), in, *gate_up_, gate_up_bias_, e, both);
      Tensor h({count, width_});
      combine(both, h);
      Tensor y({count, size});
      product(state.context(), h, *down_, down_bias_, e, y);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t slot = slots[static_cast<std::size_t>(i)];
        float* to = out.f32() + slot / k * size;
        for (std::int64_t d = 0; d < size; ++d) to[d] += y.f32()[i * size + d] * weights.f32()[slot];
      }
    }
    return out;
  }

  std::vector<ModuleTensor*> matrices(Module&) const override {
    if (transposed_) return {};
    return {gate_up_, down_};
  }

 private:
  void product(const CpuContext& cpu, const Tensor& x, const ModuleTensor& stack, const ModuleTensor* biases, std::int64_t expert, const Tensor& y) const {
    const auto slice = [&](const TensorView& t) {
      TensorView out{t.dtype, Shape(t.shape.begin() + 1, t.shape.end()), nullptr};
      out.data = t.data + expert * byte_count(t.dtype, element_count(out.shape));
      return out;
    };
    const TensorView matrix = slice(stack.view);
    TensorView bias;
    if (biases != nullptr) bias = slice(biases->view);
    if (transposed_) {
      ops::linear_transposed(cpu, x.f32(), x.rows(), matrix, biases == nullptr ? nullptr : &bias, y.f32());
    } else {
      ops::linear(cpu, x.f32(), x.rows(), matrix, biases == nullptr ? nullptr : &bias, y.f32());
    }
  }

  void combine(const Tensor& both, const Tensor& h) const {
    if (plain_) {
      for (std::int64_t i = 0; i < h.count(); ++i) h.f32()[i] = ops::activate(act_, both.f32()[i]);
      return;
    }
    for (std::int64_t r = 0; r < h.rows(); ++r) {
      const float* from = both.f32() + r * 2 * width_;
      for (std::int64_t i = 0; i < width_; ++i) {
        float gate = interleaved_ ? from[2 * i] : from[i];
        float up = interleaved_ ? from[2 * i + 1] : from[width_ + i];
        float& to = h.f32()[r * width_ + i];
        if (clamped_) {
          gate = std::min(gate, limit_);
          up = std::clamp(up, -limit_, limit_);
          to = (up + 1) * gate * ops::activate(ops::Activation::sigmoid, gate * alpha_);
        } else {
          to = ops::activate(act_, gate) * up;
        }
      }
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
  std::int64_t width_ = 0, parts_ = 2;
};

}  // namespace

std::unique_ptr<BoundBlock> make_moe(Roles& roles) { return std::make_unique<Moe>(roles); }
std::unique_ptr<BoundBlock> make_experts(Roles& roles) { return std::make_unique<Experts>(roles); }

}  // namespace bigmodel
