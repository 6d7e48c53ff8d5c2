// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/latent_attention.h"

#include <fmt/format.h>

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/cache.h"
#include "bigmodel/engine/rope_table.h"
#include "bigmodel/ops/attention.h"

namespace bigmodel {
namespace {

class LatentAttention : public BoundBlock {
 public:
  explicit LatentAttention(Roles& roles)
      : heads_(roles.integer("heads")), plain_dim_(roles.integer("head_dim")), rope_dim_(roles.integer("rope_dim")),
        value_dim_(roles.integer("value_dim")), slot_(roles.binder().next_cache_slot()), rope_(roles, rope_dim_), q_(roles.linear("q")),
        q_down_(roles.linear("q_down")), q_norm_(roles.child("q_norm")), q_up_(roles.linear("q_up")), kv_down_(&roles.need_linear("kv_down")),
        kv_norm_(&roles.need_child("kv_norm")), kv_up_(&roles.need_linear("kv_up")), out_(&roles.need_linear("out")),
        scale_(roles.number("scale")), causal_(roles.boolean("causal", false)) {
    for (const char* fact : {"cache", "cache_repeat", "cache_window"}) roles.find(fact);
    if ((q_ == nullptr) != (q_down_ != nullptr && q_up_ != nullptr)) roles.refuse("q", "expected either q, or q_down and q_up");
    const std::int64_t q_width = linear_out_width(q_ != nullptr ? *q_ : *q_up_);
    if (heads_ <= 0 || q_width != heads_ * (plain_dim_ + rope_dim_)) roles.refuse("q", fmt::format("gives {} values a token, expected {}", q_width, heads_ * (plain_dim_ + rope_dim_)));
    if (linear_out_width(*kv_up_) != heads_ * (plain_dim_ + value_dim_)) roles.refuse("kv_up", fmt::format("gives {} values a token", linear_out_width(*kv_up_)));
    latent_dim_ = linear_out_width(*kv_down_) - rope_dim_;
    if (latent_dim_ <= 0) roles.refuse("kv_down", "is narrower than the rotary part");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t rows = x.rows();
    const std::int64_t dim = plain_dim_ + rope_dim_;
    Tensor q = q_ != nullptr ? (*q_)(x, state) : (*q_down_)(x, state);
    if (q_ == nullptr) {
      if (q_norm_ != nullptr) q = (*q_norm_)(q, state);
      q = (*q_up_)(q, state);
    }
    // The rotary part lies behind the plain one; rope wants it as heads of its own.
    Tensor q_rope({rows, heads_, rope_dim_});
    const auto rope_bytes = static_cast<std::size_t>(rope_dim_) * sizeof(float);
    const auto plain_bytes = static_cast<std::size_t>(plain_dim_) * sizeof(float);
    for (std::int64_t h = 0; h < rows * heads_; ++h) std::memcpy(q_rope.f32() + h * rope_dim_, q.f32() + h * dim + plain_dim_, rope_bytes);
    rope_.apply(q_rope.f32(), rows, heads_, rope_dim_, state);
    for (std::int64_t h = 0; h < rows * heads_; ++h) std::memcpy(q.f32() + h * dim + plain_dim_, q_rope.f32() + h * rope_dim_, rope_bytes);

    const Tensor down = (*kv_down_)(x, state);
    const Tensor k_rope = columns(down, latent_dim_, rope_dim_);
    rope_.apply(k_rope.f32(), rows, 1, rope_dim_, state);
    const Tensor up = (*kv_up_)((*kv_norm_)(columns(down, 0, latent_dim_), state), state);
    Tensor k({rows, heads_, dim});
    Tensor v({rows, heads_, value_dim_});
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t h = 0; h < heads_; ++h) {
        const std::int64_t at = r * heads_ + h;
        const float* from = up.f32() + at * (plain_dim_ + value_dim_);
        std::memcpy(k.f32() + at * dim, from, plain_bytes);
        std::memcpy(k.f32() + at * dim + plain_dim_, k_rope.f32() + r * rope_dim_, rope_bytes);
        std::memcpy(v.f32() + at * value_dim_, from + plain_dim_, static_cast<std::size_t>(value_dim_) * sizeof(float));
      }
    }
    Cache local;
    Cache& cache = state.cache == nullptr ? local : *state.cache;
    auto& kv = cache.state<KeyValueState>(slot_, [&] { return KeyValueState(state.batch, heads_, dim, value_dim_); });
    kv.append(k.f32(), v.f32(), state.length);
    ops::AttentionInput in;
    in.q = q.f32();
    in.k = kv.keys();
    in.v = kv.values();
    in.batch = state.batch;
    in.queries = state.length;
    in.keys = kv.length();
    in.capacity = kv.capacity();
    in.heads = in.kv_heads = heads_;
    in.head_dim = dim;
    in.value_dim = value_dim_;
    in.first_query = kv.length() - state.length;
    ops::AttentionRule rule;
    rule.scale = scale_;
    rule.causal = causal_;
    rule.key_valid = state.valid.empty() ? nullptr : state.valid.data();
    Tensor mixed({state.batch, state.length, heads_ * value_dim_});
    ops::attention(state.context(), in, rule, mixed.f32());
    return (*out_)(mixed, state);
  }

 private:
  std::int64_t heads_, plain_dim_, rope_dim_, value_dim_, latent_dim_ = 0;
  std::size_t slot_;
  RopeTable rope_;
  Module* q_;
  Module* q_down_;
  Module* q_norm_;
  Module* q_up_;
  Module* kv_down_;
  Module* kv_norm_;
  Module* kv_up_;
  Module* out_;
  float scale_;
  bool causal_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_latent_attention(Roles& roles) { return std::make_unique<LatentAttention>(roles); }

}  // namespace bigmodel
