// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/latent_attention.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/engine/rope_table.h"

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

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t rows = x.rows();
    const std::int64_t dim = plain_dim_ + rope_dim_;
    Tensor q = q_ != nullptr ? (*q_)(x, state) : (*q_down_)(x, state);
    if (q_ == nullptr) {
      if (q_norm_ != nullptr) q = (*q_norm_)(q, state);
      q = (*q_up_)(q, state);
    }
    const OperationsOn on(x, state);
    // The rotary part lies behind the plain one; rope wants it as heads of its own.
    const Tensor q_rope = beside(x, {rows, heads_, rope_dim_});
    const auto copy = [&](const Tensor& from, std::int64_t from_column, std::int64_t from_step, const Tensor& to, std::int64_t to_column, std::int64_t to_step, std::int64_t width) {
      ops::CopyShape shape{.inner = rows * heads_, .width = width};
      shape.from_inner = from_step;
      shape.to_inner = to_step;
      on->copy(from.data() + from_column, to.data() + to_column, shape);
    };
    copy(q, plain_dim_, dim, q_rope, 0, rope_dim_, rope_dim_);
    rope_.apply(q_rope, rows, heads_, rope_dim_, state);
    copy(q_rope, 0, rope_dim_, q, plain_dim_, dim, rope_dim_);

    const Tensor down = (*kv_down_)(x, state);
    const Tensor k_rope = columns(down, latent_dim_, rope_dim_);
    rope_.apply(k_rope, rows, 1, rope_dim_, state);
    const Tensor up = (*kv_up_)((*kv_norm_)(columns(down, 0, latent_dim_), state), state);
    const Tensor k = beside(x, {rows, heads_, dim});
    const Tensor v = beside(x, {rows, heads_, value_dim_});
    copy(up, 0, plain_dim_ + value_dim_, k, 0, dim, plain_dim_);
    copy(up, plain_dim_, plain_dim_ + value_dim_, v, 0, value_dim_, value_dim_);
    ops::CopyShape to_heads{.middle = rows, .inner = heads_, .width = rope_dim_};
    to_heads.from_middle = rope_dim_;
    to_heads.to_middle = heads_ * dim;
    to_heads.to_inner = dim;
    on->copy(k_rope.data(), k.data() + plain_dim_, to_heads);
    const KeptKeys kv(x, state, slot_, heads_, dim, value_dim_);
    kv->append(k, v, state.length, state);
    ops::AttentionInput in = kv->input(state);
    in.q = q.data();
    in.heads = heads_;
    ops::AttentionRule rule;
    rule.scale = scale_;
    rule.causal = causal_;
    rule.key_valid = valid_keys(x, state);
    if (!state.valid.empty()) state.repeatable = false;
    const Tensor mixed = beside(x, {state.batch, state.length, heads_ * value_dim_});
    on->attention(in, kv->view(state), rule, mixed.data());
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
