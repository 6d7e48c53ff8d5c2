// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/alibi.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/shared_layer.h"
#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/engine/relative_bias.h"
#include "bigmodel/engine/rope_table.h"

namespace bigmodel {
namespace {

/// How one projection holds queries, keys and values.
enum class Layout {
  side_by_side,    ///< all queries, all keys, all values
  per_head,        ///< for each head: query, key, value
  grouped,         ///< for each key/value head: its queries, its key, its value
  four_parts_qvk,  ///< four equal parts, each with its queries, values, keys
};

Layout find_layout(Roles& roles, const std::string& text) {
  // "multi_query" is one key and value head behind all queries, which side_by_side says as well; "transposed" speaks of the matrix.
  if (text.empty() || text == "transposed" || text == "multi_query") return Layout::side_by_side;
  if (text == "per_head") return Layout::per_head;
  if (text == "grouped") return Layout::grouped;
  if (text == "four_parts_qvk") return Layout::four_parts_qvk;
  roles.refuse("layout", fmt::format("unknown layout '{}'", text));
}

class Attention : public BoundBlock {
 public:
  explicit Attention(Roles& roles)
      : heads_(roles.integer("heads")), kv_heads_(roles.integer("kv_heads", heads_)), head_dim_(roles.integer("head_dim")),
        slot_(roles.binder().next_cache_slot()), rope_(roles, head_dim_), alibi_(roles, heads_),
        q_adapter_(roles, "q_adapters"), k_adapter_(roles, "k_adapters"), v_adapter_(roles, "v_adapters") {
    if (heads_ <= 0 || kv_heads_ <= 0 || heads_ % kv_heads_ != 0 || head_dim_ <= 0) roles.refuse("kv_heads", fmt::format("{} for {} heads", kv_heads_, heads_));
    const std::string layout = roles.text("layout", "");
    layout_ = find_layout(roles, layout);
    const bool transposed = layout == "transposed";
    qkv_ = roles.linear("qkv", transposed);
    q_ = roles.linear("q", transposed);
    k_ = roles.linear("k", transposed);
    v_ = roles.linear("v", transposed);
    out_ = &roles.need_linear("out", transposed);
    if (qkv_ == nullptr ? q_ == nullptr || k_ == nullptr || v_ == nullptr : q_ != nullptr) roles.refuse("qkv", "expected either q, k and v, or qkv");
    q_norm_ = roles.child("q_norm");
    k_norm_ = roles.child("k_norm");
    norm_after_rope_ = roles.boolean("norm_after_rope", false);
    sinks_ = roles.tensor("sinks");
    scale_ = roles.number("scale");
    if (roles.boolean("scale_by_layer", false)) scale_ /= static_cast<float>(roles.binder().layer_index + 1);
    causal_ = roles.boolean("causal", false);
    window_ = roles.integer("window", 0);
    window_ahead_ = roles.integer("window_ahead", 0);
    chunk_ = roles.integer("chunk", 0);
    soft_cap_ = roles.number("soft_cap", 0.0F);
    clip_ = roles.number("clip", 0.0F);
    spread_when_blind_ = roles.boolean("spread_when_blind", false);
    const std::string gate = roles.text("output_gate", "");
    if (!gate.empty() && gate != "per_head") roles.refuse("output_gate", fmt::format("unknown '{}'", gate));
    gated_ = !gate.empty();
    cross_ = roles.boolean("cross", false);
    if (cross_ && (qkv_ != nullptr || rope_.present() || alibi_.present() || window_ > 0 || gated_ || causal_)) roles.refuse("cross", "with a fused projection, positions or a window");
    // Facts for planners: what a cache costs in the reference.
    relative_.emplace(roles, heads_, causal_);
    for (const char* fact : {"cache", "cache_repeat", "cache_window", "encoder_tokens"}) roles.find(fact);
    check_widths(roles, transposed);
  }

  bool runs_on_accelerators() const override { return true; }
  void set_heads(std::int64_t heads, std::int64_t kv_heads) override {
    heads_ = heads;
    kv_heads_ = kv_heads;
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    if (cross_) return cross(x, arguments.at(1), state);
    Projected p = project(x, state);
    if (!norm_after_rope_) norm(p, state);
    const OperationsOn on(x, state);
    if (clip_ > 0) {
      for (const Tensor* t : {&p.q, &p.k, &p.v}) on->clamp(t->data(), clip_, t->count());
    }
    rope_.apply(p.q, x.rows(), heads_, head_dim_, state);
    rope_.apply(p.k, x.rows(), kv_heads_, head_dim_, state);
    if (norm_after_rope_) norm(p, state);
    Tensor mixed = attend(p, state);
    if (gated_) {
      on->activate_times(ops::Activation::sigmoid, p.gate.data(), mixed.width(), mixed.data(), mixed.width(), mixed.rows(), mixed.width(), mixed.data(), mixed.width());
    }
    return (*out_)(mixed, state);
  }

 private:
  struct Projected {
    Tensor q, k, v, gate;  ///< [batch, length, width]
  };

  void check_widths(Roles& roles, bool transposed) const {
    const auto expect = [&](std::string_view name, Module* module, std::int64_t width) {
      if (module != nullptr && linear_out_width(*module, transposed) != width) {
        roles.refuse(name, fmt::format("gives {} values a token, expected {}", linear_out_width(*module, transposed), width));
      }
    };
    expect("q", q_, heads_ * head_dim_ * (gated_ ? 2 : 1));
    expect("k", k_, kv_heads_ * head_dim_);
    expect("v", v_, kv_heads_ * head_dim_);
    expect("qkv", qkv_, (heads_ + 2 * kv_heads_) * head_dim_);
    if (layout_ == Layout::per_head && kv_heads_ != heads_) roles.refuse("layout", "per_head with fewer key heads");
    if (layout_ == Layout::four_parts_qvk && heads_ % 4 != 0) roles.refuse("layout", "four parts of a number of heads that is no multiple of four");
  }

  void norm(Projected& p, ForwardState& state) const {
    if (q_norm_ != nullptr) p.q = (*q_norm_)(p.q, state);
    if (k_norm_ != nullptr) p.k = (*k_norm_)(p.k, state);
  }

  Projected project(const Tensor& x, ForwardState& state) const {
    Projected out;
    if (qkv_ == nullptr) {
      std::vector<Tensor> all = linear_outputs({q_, k_, v_}, x, state);
      out.q = std::move(all[0]);
      out.k = std::move(all[1]);
      out.v = std::move(all[2]);
      q_adapter_.add_to(out.q, x, state);
      k_adapter_.add_to(out.k, x, state);
      v_adapter_.add_to(out.v, x, state);
      if (gated_) split_gate(out, state);
      return out;
    }
    const Tensor all = (*qkv_)(x, state);
    const auto shaped = [&](std::int64_t heads) {
      Shape shape = x.shape();
      shape.back() = heads * head_dim_;
      return beside(x, std::move(shape));
    };
    out.q = shaped(heads_);
    out.k = shaped(kv_heads_);
    out.v = shaped(kv_heads_);
    split(all, out, state);
    return out;
  }

  /// The fused projection's heads, each to its part.
  void split(const Tensor& all, const Projected& out, const ForwardState& state) const {
    const OperationsOn on(all, state);
    std::int64_t from = 0;
    // `groups` pieces of `heads` heads each lie `step` apart.
    const auto take = [&](const Tensor& to, std::int64_t groups, std::int64_t heads, std::int64_t step) {
      ops::CopyShape shape{.outer = all.rows(), .middle = groups, .inner = 1, .width = heads * head_dim_};
      shape.from_outer = all.width();
      shape.from_middle = step;
      shape.to_outer = to.width();
      shape.to_middle = heads * head_dim_;
      on->copy(all.data() + from, to.data(), shape);
      from += heads * head_dim_;
    };
    switch (layout_) {
      case Layout::side_by_side:
        take(out.q, 1, heads_, 0);
        take(out.k, 1, kv_heads_, 0);
        take(out.v, 1, kv_heads_, 0);
        break;
      case Layout::per_head:
      case Layout::grouped: {
        const std::int64_t queries = heads_ / kv_heads_;
        const std::int64_t step = (queries + 2) * head_dim_;
        take(out.q, kv_heads_, queries, step);
        take(out.k, kv_heads_, 1, step);
        take(out.v, kv_heads_, 1, step);
        break;
      }
      case Layout::four_parts_qvk: {
        const std::int64_t step = 3 * (heads_ / 4) * head_dim_;
        take(out.q, 4, heads_ / 4, step);
        take(out.v, 4, heads_ / 4, step);
        take(out.k, 4, heads_ / 4, step);
        break;
      }
    }
  }

  /// Each head's rows of q are its query, then its gate.
  void split_gate(Projected& p, const ForwardState& state) const {
    Shape shape = p.q.shape();
    shape.back() = heads_ * head_dim_;
    const Tensor q = beside(p.q, shape);
    p.gate = beside(p.q, shape);
    ops::CopyShape halves{.outer = 1, .middle = 1, .inner = q.rows() * heads_, .width = head_dim_};
    halves.from_inner = 2 * head_dim_;
    halves.to_inner = head_dim_;
    const OperationsOn on(q, state);
    on->copy(p.q.data(), q.data(), halves);
    on->copy(p.q.data() + head_dim_, p.gate.data(), halves);
    p.q = q;
  }

  /// Keys and values of the encoder's rows are made once and kept.
  Tensor cross(const Tensor& x, const Tensor& encoded, ForwardState& state) const {
    if (encoded.empty()) throw UnsupportedError("attention to an encoder that did not run");
    Tensor q = (*q_)(x, state);
    if (q_norm_ != nullptr) q = (*q_norm_)(q, state);
    const KeptKeys kv(x, state, slot_, kv_heads_, head_dim_, head_dim_);
    if (kv.fresh()) {
      const Tensor memory = encoded.to(x.device());
      Tensor k = (*k_)(memory, state);
      if (k_norm_ != nullptr) k = (*k_norm_)(k, state);
      kv->append(k, (*v_)(memory, state), memory.rows() / state.batch, state);
      kv->finish();
    }
    const OperationsOn on(q, state);
    ops::AttentionInput in = kv->input(state);
    in.q = q.data();
    in.heads = heads_;
    in.keys = kv->length();
    in.first_query = 0;
    ops::AttentionRule rule;
    rule.scale = scale_;
    rule.causal = false;
    rule.soft_cap = soft_cap_;
    rule.key_valid = valid_memory_keys(q, state);
    const Tensor out = beside(q, {state.batch, state.length, heads_ * head_dim_});
    on->attention(in, {kv->dtype(), nullptr}, rule, out.data());
    return (*out_)(out, state);
  }

  Tensor attend(const Projected& p, ForwardState& state) const {
    // A query that sees nothing averages over all keys: then none may go.
    const KeyReach reach = causal_ && !spread_when_blind_ ? KeyReach{window_, chunk_} : KeyReach{};
    const KeptKeys kv(p.q, state, slot_, kv_heads_, head_dim_, head_dim_, reach);
    kv->append(p.k, p.v, state.length, state);
    ops::AttentionInput in = kv->input(state);
    in.q = p.q.data();
    in.heads = heads_;
    ops::AttentionRule rule;
    rule.scale = scale_;
    rule.causal = causal_;
    rule.window = window_;
    rule.window_ahead = window_ahead_;
    rule.chunk = chunk_;
    rule.soft_cap = soft_cap_;
    rule.spread_when_blind = spread_when_blind_;
    const OperationsOn on(p.q, state);
    const Accelerator* gpu = on.accelerator();
    rule.key_valid = valid_keys(p.q, state);
    Tensor sinks;
    if (sinks_ != nullptr) {
      sinks = beside(p.q, {heads_});
      on->widen(sinks_->view, sinks.data());
      rule.sinks = sinks.data();
    }
    rule.bias = relative_->bias(state, gpu);
    std::vector<float> bias;
    if (alibi_.present()) {
      bias = alibi_.key_bias(state);
      rule.key_bias = gpu != nullptr ? state.numbers().floats(*gpu, fmt::format("alibi {}", static_cast<const void*>(this)), bias) : bias.data();
    }
    if (!state.valid.empty() || rule.bias != nullptr || rule.key_bias != nullptr) state.repeatable = false;
    const Tensor out = beside(p.q, {state.batch, state.length, heads_ * head_dim_});
    on->attention(in, kv->view(state), rule, out.data());
    kv->trim();
    return out;
  }

  std::int64_t heads_, kv_heads_, head_dim_;
  std::size_t slot_;
  RopeTable rope_;
  Alibi alibi_;
  std::optional<RelativeBias> relative_;
  Adapter q_adapter_, k_adapter_, v_adapter_;
  Layout layout_ = Layout::side_by_side;
  Module* qkv_ = nullptr;
  Module* q_ = nullptr;
  Module* k_ = nullptr;
  Module* v_ = nullptr;
  Module* out_ = nullptr;
  Module* q_norm_ = nullptr;
  Module* k_norm_ = nullptr;
  ModuleTensor* sinks_ = nullptr;
  float scale_ = 1, soft_cap_ = 0, clip_ = 0;
  bool cross_ = false, causal_ = true, norm_after_rope_ = false, gated_ = false, spread_when_blind_ = false;
  std::int64_t window_ = 0, window_ahead_ = 0, chunk_ = 0;
};

}  // namespace

std::unique_ptr<BoundBlock> make_attention(Roles& roles) { return std::make_unique<Attention>(roles); }

}  // namespace bigmodel
