// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/disentangled_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/vision.h"
#include "bigmodel/ops/attention.h"

namespace bigmodel {
namespace {

float dot(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

class DisentangledAttention : public BoundBlock {
 public:
  explicit DisentangledAttention(Roles& roles)
      : q_(roles.linear("q")), k_(roles.linear("k")), v_(roles.linear("v")), qkv_(roles.linear("qkv")), out_(&roles.need_linear("out")), q_bias_(roles.tensor("q_bias")),
        v_bias_(roles.tensor("v_bias")), pos_k_(roles.linear("pos_k")), pos_q_(roles.linear("pos_q")), heads_(roles.integer("heads")),
        head_dim_(roles.integer("head_dim")), scale_(roles.number("scale")), reach_(roles.integer("reach", 0)), buckets_(roles.integer("buckets", 0)),
        most_(roles.integer("max_distance", 0)) {
    if ((qkv_ == nullptr) == (q_ == nullptr || k_ == nullptr || v_ == nullptr)) roles.refuse("qkv", "expected either q, k and v, or qkv");
    if (heads_ <= 0 || head_dim_ <= 0 || !(scale_ > 0)) roles.refuse("heads", fmt::format("{} of {} values", heads_, head_dim_));
    const std::int64_t width = heads_ * head_dim_;
    for (const auto& [name, module, parts] : {std::tuple("q", q_, 1), std::tuple("k", k_, 1), std::tuple("v", v_, 1), std::tuple("qkv", qkv_, 3), std::tuple("pos_k", pos_k_, 1), std::tuple("pos_q", pos_q_, 1)}) {
      if (module != nullptr && linear_out_width(*module) != parts * width) roles.refuse(name, fmt::format("gives {} values a token, expected {}", linear_out_width(*module), parts * width));
    }
    for (const auto& [name, tensor] : {std::pair("q_bias", q_bias_), std::pair("v_bias", v_bias_)}) {
      if (tensor != nullptr && tensor->meta->shape != Shape{width}) roles.refuse(name, fmt::format("shape {}, expected [{}]", to_string(tensor->meta->shape), width));
    }
    if ((pos_k_ != nullptr || pos_q_ != nullptr) && reach_ < 1) roles.refuse("reach", "is missing");
    if (buckets_ > 0 && (buckets_ < 4 || most_ <= buckets_ / 2 + 1 || reach_ != buckets_)) roles.refuse("buckets", fmt::format("{} up to a distance of {}", buckets_, most_));
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t width = heads_ * head_dim_;
    Tensor q, k, v;
    if (qkv_ == nullptr) {
      q = (*q_)(x, state);
      k = (*k_)(x, state);
      v = (*v_)(x, state);
    } else {
      split((*qkv_)(x, state), q, k, v);
    }
    add_row(q, q_bias_);
    add_row(v, v_bias_);
    Tensor pos_k, pos_q;
    if (pos_k_ != nullptr || pos_q_ != nullptr) {
      const Tensor rows = state.relative_rows.to(cpu_device());
      if (rows.empty() || rows.rows() != 2 * reach_) throw UnsupportedError(fmt::format("module '{}': {} rows of relative positions, expected {}", self.name(), rows.empty() ? 0 : rows.rows(), 2 * reach_));
      if (pos_k_ != nullptr) pos_k = (*pos_k_)(rows, state);
      if (pos_q_ != nullptr) pos_q = (*pos_q_)(rows, state);
    }
    Tensor out({state.batch, state.length, width});
    for (std::int64_t b = 0; b < state.batch; ++b) {
      const std::int64_t first = b * state.length * width;
      KeyValueState kv(1, heads_, head_dim_, head_dim_);
      kv.append(k.f32() + first, v.f32() + first, state.length);
      const std::vector<float> bias = position_scores(q.f32() + first, k.f32() + first, pos_k, pos_q, state);
      ops::AttentionInput in;
      in.q = q.f32() + first;
      in.k = kv.keys();
      in.v = kv.values();
      in.queries = in.keys = state.length;
      in.capacity = kv.capacity();
      in.heads = in.kv_heads = heads_;
      in.head_dim = in.value_dim = head_dim_;
      ops::AttentionRule rule;
      rule.scale = 1 / scale_;
      rule.causal = false;
      rule.bias = bias.empty() ? nullptr : bias.data();
      rule.key_valid = state.valid.empty() ? nullptr : state.valid.data() + b * state.length;
      rule.spread_when_blind = true;
      ops::attention(state.context(), in, rule, out.f32() + first);
    }
    return (*out_)(out, state);
  }

 private:
  void split(const Tensor& all, Tensor& q, Tensor& k, Tensor& v) const {
    Shape shape = all.shape();
    shape.back() = heads_ * head_dim_;
    q = Tensor(shape);
    k = Tensor(shape);
    v = Tensor(shape);
    const auto bytes = static_cast<std::size_t>(head_dim_) * sizeof(float);
    for (std::int64_t h = 0; h < all.rows() * heads_; ++h) {
      const float* from = all.f32() + 3 * h * head_dim_;
      std::memcpy(q.f32() + h * head_dim_, from, bytes);
      std::memcpy(k.f32() + h * head_dim_, from + head_dim_, bytes);
      std::memcpy(v.f32() + h * head_dim_, from + 2 * head_dim_, bytes);
    }
  }

  static void add_row(const Tensor& x, const ModuleTensor* row) {
    if (row == nullptr) return;
    const std::vector<float> add = values(*row);
    for (std::int64_t i = 0; i < x.count(); ++i) x.f32()[i] += add[static_cast<std::size_t>(i % x.width())];
  }

  /// Near distances have rows of their own; farther ones share, by their logarithm.
  std::int64_t row_of(std::int64_t distance) const {
    const std::int64_t middle = buckets_ / 2;
    std::int64_t place = distance;
    if (buckets_ > 0 && std::abs(distance) > middle) {
      const auto m = static_cast<float>(middle);
      const float far = std::ceil(std::log(static_cast<float>(std::abs(distance)) / m) / std::log(static_cast<float>(most_ - 1) / m) * static_cast<float>(middle - 1)) + m;
      place = distance > 0 ? static_cast<std::int64_t>(far) : -static_cast<std::int64_t>(far);
    }
    return std::clamp<std::int64_t>(place + reach_, 0, 2 * reach_ - 1);
  }

  /// [heads, length, length], already divided by the scale.
  std::vector<float> position_scores(const float* q, const float* k, const Tensor& pos_k, const Tensor& pos_q, const ForwardState& state) const {
    if (pos_k.empty() && pos_q.empty()) return {};
    const std::int64_t length = state.length;
    const std::int64_t width = heads_ * head_dim_;
    std::vector<std::int64_t> rows(static_cast<std::size_t>(2 * length - 1));
    for (std::int64_t d = 1 - length; d < length; ++d) rows[static_cast<std::size_t>(d + length - 1)] = row_of(d);
    std::vector<float> out(static_cast<std::size_t>(heads_ * length * length));
    state.context().parallel_for(heads_ * length, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t at = begin; at < end; ++at) {
        const std::int64_t h = at / length, i = at % length;
        for (std::int64_t j = 0; j < length; ++j) {
          const std::int64_t row = rows[static_cast<std::size_t>(i - j + length - 1)] * width + h * head_dim_;
          float score = 0;
          if (!pos_k.empty()) score += dot(q + i * width + h * head_dim_, pos_k.f32() + row, head_dim_);
          if (!pos_q.empty()) score += dot(k + j * width + h * head_dim_, pos_q.f32() + row, head_dim_);
          out[static_cast<std::size_t>(at * length + j)] = score / scale_;
        }
      }
    });
    return out;
  }

  Module* q_;
  Module* k_;
  Module* v_;
  Module* qkv_;
  Module* out_;
  ModuleTensor* q_bias_;
  ModuleTensor* v_bias_;
  Module* pos_k_;
  Module* pos_q_;
  std::int64_t heads_, head_dim_;
  float scale_;
  std::int64_t reach_, buckets_, most_;
};

class FirstLayerConv : public BoundBlock {
 public:
  explicit FirstLayerConv(Roles& roles) : norm_(&roles.need_child("norm")), act_(roles.activation("act")) {
    Module* conv = roles.plain_module("conv");
    const ModuleTensor* weight = conv == nullptr ? nullptr : conv->find_tensor("weight");
    if (weight == nullptr || weight->meta->shape.size() != 3 || weight->meta->shape[2] % 2 == 0) roles.refuse("conv", "expected a convolution of an odd width");
    conv_ = &roles.need_conv("conv", {.padding = {weight->meta->shape[2] / 2}, .groups = roles.integer("groups", 1)});
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.at(0);
    const Tensor turned = channels_first(x, {state.batch, x.width(), state.length});
    const Tensor wide = channels_last((*conv_)(turned, state));
    clear_padding(wide, state);
    ops::activate(state.context(), act_, wide.f32(), wide.count());
    add_to(wide, arguments.at(1));
    const Tensor out = (*norm_)(wide, state);
    clear_padding(out, state);
    return out;
  }

 private:
  Module* norm_;
  ops::Activation act_;
  Module* conv_ = nullptr;
};

}  // namespace

std::unique_ptr<BoundBlock> make_disentangled_attention(Roles& roles) { return std::make_unique<DisentangledAttention>(roles); }
std::unique_ptr<BoundBlock> make_first_layer_conv(Roles& roles) { return std::make_unique<FirstLayerConv>(roles); }

}  // namespace bigmodel
