// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/layer.h"

#include <fmt/format.h>

#include <cmath>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

/// down(act(up x)), where the layer itself holds the two matrices; or a module of its own, beside which another may stand. All may be absent.
class FeedForward {
 public:
  explicit FeedForward(Roles& roles) : module_(roles.child("ffn")), beside_(roles.child("ffn_beside")), up_(roles.linear("up")), down_(roles.linear("down")) {
    if ((up_ == nullptr) != (down_ == nullptr)) roles.refuse("up", "expected up and down, or neither");
    if (beside_ != nullptr && module_ == nullptr) roles.refuse("ffn_beside", "without an ffn");
    if (up_ != nullptr) act_ = roles.activation("act");
    if (up_ == nullptr) roles.find("act");
  }
  bool present() const noexcept { return module_ != nullptr || up_ != nullptr; }
  Tensor operator()(const Tensor& x, ForwardState& state) const {
    if (beside_ != nullptr) {
      const Tensor sum = (*module_)(x, state).clone();
      add_to(sum, (*beside_)(x, state));
      return sum;
    }
    if (module_ != nullptr) return (*module_)(x, state);
    const Tensor h = (*up_)(x, state);
    OperationsOn(h, state)->activate(act_, h.data(), h.count());
    return (*down_)(h, state);
  }

 private:
  Module* module_;
  Module* beside_;
  Module* up_;
  Module* down_;
  ops::Activation act_ = ops::Activation::identity;
};

/// A layer's mixer, beside which another may read the same rows: mixer_scale * mixer(mixer_in_scale * x) + beside_scale * mixer_beside(x).
class Mixer {
 public:
  explicit Mixer(Roles& roles)
      : beside_(roles.child("mixer_beside")), mixer_(&roles.need_child("mixer")), in_scale_(roles.number("mixer_in_scale", 1.0F)),
        scale_(roles.number("mixer_scale", 1.0F)), beside_scale_(roles.number("beside_scale", 1.0F)) {}

  Tensor operator()(const Tensor& x, ForwardState& state) const {
    if (beside_ == nullptr && in_scale_ == 1.0F && scale_ == 1.0F) return (*mixer_)(x, state);
    Tensor in = x;
    if (in_scale_ != 1.0F) {
      in = x.clone();
      scale_by(in, in_scale_);
    }
    Tensor sum = (*mixer_)(in, state).clone();
    if (scale_ != 1.0F) scale_by(sum, scale_);
    if (beside_ != nullptr) add_scaled_to(sum, (*beside_)(x, state), beside_scale_);
    return sum;
  }

 private:
  Module* beside_;
  Module* mixer_;
  float in_scale_, scale_, beside_scale_;
};

/// x + scale1 * norm1_out(mixer(norm1(x))), then the same with the feed-forward part. Where parallel, both parts read x.
class ResidualLayer : public BoundBlock {
 public:
  enum class Order {
    pre,    ///< norms before the parts (norm*_out too, where given)
    post,   ///< norms behind the parts, before the sum: x + norm1(mixer(x))
    after,  ///< norms behind the sum: norm1(x + mixer(x))
  };

  ResidualLayer(Roles& roles, Order order, bool parallel)
      : order_(order), norm_input_(roles.child("norm_input")), norm1_(roles.child("norm1")), mixer_(roles),
        norm_mixer_(roles.child("norm_mixer")), norm_ffn_(roles.child("norm_ffn")), norm2_(roles.child("norm2")),
        cross_(roles.child("cross")), norm_cross_(roles.child("norm_cross")),
        norm1_out_(roles.child("norm1_out")), norm2_out_(roles.child("norm2_out")), ffn_(roles), parallel_(roles.boolean("parallel", parallel)),
        scale1_(factor(roles, "scale1", scale_tensor1_)), scale2_(factor(roles, "scale2", scale_tensor2_)),
        residual_after_norm_(roles.boolean("residual_after_norm", false)) {
    if (!roles.boolean("norm_first", true)) order_ = Order::after;
    if (roles.boolean("norm_after_sum", false)) order_ = Order::after;
    const std::int64_t every = roles.integer("rescale_every", 0);
    halve_after_ = every > 0 && (roles.binder().layer_index + 1) % every == 0;
    // The stream was halved so often before; what this layer adds must be as small.
    if (every > 0) scale1_ = scale2_ = std::ldexp(1.0F, -static_cast<int>(roles.binder().layer_index / every));
    if (order_ == Order::after && (norm1_ == nullptr || (ffn_.present() && norm2_ == nullptr))) roles.refuse("norm1", "is missing");
    if (parallel_ && cross_ != nullptr) roles.refuse("cross", "in a parallel layer");
    if (order_ == Order::after && cross_ != nullptr && norm_cross_ == nullptr) roles.refuse("norm_cross", "is missing");
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = norm_input_ == nullptr ? arguments.front() : (*norm_input_)(arguments.front(), state);
    if (parallel_) return side_by_side(x, state);
    // A second argument joins the stream for the mixer only.
    Tensor joined = x;
    if (arguments.size() > 1) {
      joined = x.clone();
      add_to(joined, arguments[1]);
    }
    x = part(x, joined, norm1_, norm1_out_, scale1_, scale_tensor1_, state, [&](const Tensor& in) { return mixer_(in, state); });
    if (cross_ != nullptr) {
      x = part(x, x, norm_cross_, nullptr, 1.0F, nullptr, state, [&](const Tensor& in) { return (*cross_)(Arguments{in, state.memory}, state); });
    }
    if (ffn_.present()) {
      x = part(x, x, norm2_, norm2_out_, scale2_, scale_tensor2_, state, [&](const Tensor& in) { return ffn_(in, state); });
    }
    if (halve_after_) scale_by(x, 0.5F);
    return x;
  }

 private:
  /// A number, or a module whose lambda1 holds one for every column.
  static float factor(Roles& roles, std::string_view name, ModuleTensor*& tensor) {
    const spec::Value* v = roles.find(name);
    if (v == nullptr || v->if_member() == nullptr) return roles.number(name, 1.0F);
    tensor = roles.tensor_of(*roles.plain_module(name), "lambda1");
    if (tensor == nullptr) roles.refuse(name, "has no lambda1");
    return 1.0F;
  }
  static void scale_columns(const Tensor& t, const ModuleTensor* by, const ForwardState& state) {
    if (by != nullptr) OperationsOn(t, state)->scale_columns(t.data(), t.rows(), t.width(), by->view);
  }

  template <typename F>
  Tensor part(const Tensor& x, const Tensor& input, Module* norm, Module* norm_out, float scale, const ModuleTensor* scaled, ForwardState& state, F&& run) const {
    const Tensor in = order_ == Order::pre && norm != nullptr ? (*norm)(input, state) : input;
    Tensor out = run(in);
    if (order_ == Order::post && norm != nullptr) out = (*norm)(out, state);
    if (norm_out != nullptr) out = (*norm_out)(out, state);
    scale_columns(out, scaled, state);
    Tensor sum = (residual_after_norm_ ? in : x).clone();
    add_scaled_to(sum, out, scale);
    return order_ == Order::after ? (*norm)(sum, state) : sum;
  }

  Tensor side_by_side(const Tensor& x, ForwardState& state) const {
    const Tensor shared = norm1_ == nullptr ? Tensor() : (*norm1_)(x, state);
    const auto input = [&](Module* norm) {
      if (norm != nullptr) return (*norm)(x, state);
      return shared.empty() ? x : shared;
    };
    Tensor sum = x.clone();
    add_scaled_to(sum, mixer_(input(norm_mixer_), state), scale1_);
    if (ffn_.present()) add_scaled_to(sum, ffn_(input(norm_ffn_ != nullptr ? norm_ffn_ : norm2_), state), scale2_);
    return sum;
  }

  Order order_;
  ModuleTensor* scale_tensor1_ = nullptr;   // before the scales: their initialisers set these
  ModuleTensor* scale_tensor2_ = nullptr;
  Module* norm_input_;
  Module* norm1_;
  Mixer mixer_;
  Module* norm_mixer_;
  Module* norm_ffn_;
  Module* norm2_;
  Module* cross_;
  Module* norm_cross_;
  Module* norm1_out_;
  Module* norm2_out_;
  FeedForward ffn_;
  bool parallel_;
  float scale1_, scale2_;
  bool residual_after_norm_;
  bool halve_after_ = false;
};

}  // namespace

std::unique_ptr<BoundBlock> make_prenorm_layer(Roles& roles) { return std::make_unique<ResidualLayer>(roles, ResidualLayer::Order::pre, false); }
std::unique_ptr<BoundBlock> make_postnorm_layer(Roles& roles) { return std::make_unique<ResidualLayer>(roles, ResidualLayer::Order::post, false); }
std::unique_ptr<BoundBlock> make_parallel_layer(Roles& roles) { return std::make_unique<ResidualLayer>(roles, ResidualLayer::Order::pre, true); }

}  // namespace bigmodel
