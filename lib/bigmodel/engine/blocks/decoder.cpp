// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/steps.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

class Decoder : public BoundBlock {
 public:
  explicit Decoder(Roles& roles)
      : embed_(&roles.need_embedding("embed")), positions_(roles.embedding("positions")), position_offset_(roles.integer("position_offset", 0)),
        padding_(roles.integer("padding", -1)), count_padding_(roles.boolean("count_padding", false)), positions_after_norm_(roles.boolean("positions_after_norm", false)),
        embed_norm_(roles.child("embed_norm")), project_in_(roles.linear("project_in")), project_out_(roles.linear("project_out")),
        norm_(roles.child("norm")), embed_scale_(roles.number("embed_scale", 1.0F)) {
    if (roles.boolean("embed_scale_bf16", false)) {
      const auto bits = std::bit_cast<std::uint32_t>(embed_scale_);
      embed_scale_ = std::bit_cast<float>((bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u);
    }
    layers_ = roles.bound_list("layers");
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = (*embed_)(arguments.front(), state);
    if (embed_scale_ != 1.0F) scale_by(x, embed_scale_);
    if (!state.inserted_at.empty()) x = with_inserted_rows(x, state);
    if (project_in_ != nullptr) x = (*project_in_)(x, state);
    if (positions_ != nullptr && !positions_after_norm_) add_to(x, position_rows(arguments.front(), state));
    if (embed_norm_ != nullptr) x = (*embed_norm_)(x, state);
    if (positions_ != nullptr && positions_after_norm_) add_to(x, position_rows(arguments.front(), state));
    state.embeddings = x;
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      if (state.hidden_states != nullptr) state.hidden_states->push_back(x.clone());
      x = (*layer)(x, state);
    }
    if (norm_ != nullptr) x = (*norm_)(x, state);
    if (project_out_ != nullptr) x = (*project_out_)(x, state);
    if (state.hidden_states != nullptr) state.hidden_states->push_back(x.clone());
    return x;
  }

 private:
  static Tensor with_inserted_rows(const Tensor& embeddings, ForwardState& state) {
    const Tensor x = embeddings.to(cpu_device());
    state.repeatable = false;
    if (state.inserted.width() != x.width()) throw FormatError(fmt::format("rows of {} values among embeddings of {}", state.inserted.width(), x.width()));
    for (std::size_t i = 0; i < state.inserted_at.size(); ++i) {
      std::copy_n(state.inserted.f32() + static_cast<std::int64_t>(i) * x.width(), x.width(), x.f32() + state.inserted_at[i] * x.width());
    }
    return x.to(embeddings.device());
  }

  Tensor position_rows(const Tensor& words, ForwardState& state) const {
    const Tensor tokens = words.to(cpu_device());
    state.repeatable = false;
    Tensor ids({state.batch, state.length}, DType::int64);
    for (std::int64_t b = 0; b < state.batch; ++b) {
      std::int64_t count = state.past;
      for (std::int64_t i = b * state.length; i < (b + 1) * state.length; ++i) {
        if (padding_ >= 0) {
          const bool token = tokens.i64()[i] != padding_;
          count += token ? 1 : 0;
          ids.i64()[i] = token ? padding_ + count : padding_;
        } else {
          ids.i64()[i] = (count_padding_ ? state.past + i % state.length : state.positions[static_cast<std::size_t>(i)]) + position_offset_;
        }
      }
    }
    return (*positions_)(ids, state);
  }

  Module* embed_;
  Module* positions_;
  std::int64_t position_offset_, padding_;
  bool count_padding_, positions_after_norm_;
  Module* embed_norm_;
  Module* project_in_;
  Module* project_out_;
  Module* norm_;
  float embed_scale_;
  std::vector<Module*> layers_;
};

class CausalLm : public BoundBlock {
 public:
  explicit CausalLm(Roles& roles)
      : body_(&roles.need_child("body")), transform_(roles, "transform"), head_(&roles.need_linear("head")), logit_scale_(roles.number("logit_scale", 1.0F)),
        soft_cap_(roles.number("soft_cap", 0.0F)) {}

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = (*body_)(arguments, state);
    if (state.last_only && state.length > 1) x = last_tokens(x, state);
    Tensor logits = (*head_)(transform_(x, state), state);
    if (logit_scale_ != 1.0F) scale_by(logits, logit_scale_);
    if (soft_cap_ > 0) OperationsOn(logits, state)->soft_cap(logits.data(), soft_cap_, logits.count());
    return logits;
  }

 private:
  Module* body_;
  Steps transform_;
  Module* head_;
  float logit_scale_, soft_cap_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_decoder(Roles& roles) { return std::make_unique<Decoder>(roles); }
std::unique_ptr<BoundBlock> make_stack(Roles& roles) { return std::make_unique<Decoder>(roles); }
std::unique_ptr<BoundBlock> make_causal_lm(Roles& roles) { return std::make_unique<CausalLm>(roles); }

}  // namespace bigmodel
