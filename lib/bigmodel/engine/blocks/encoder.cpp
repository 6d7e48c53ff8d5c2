// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/encoder.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/relative_bias.h"

namespace bigmodel {
namespace {

/// The first token of every row: [batch, size].
Tensor first_tokens(const Tensor& x, const ForwardState& state) {
  Tensor out({state.batch, x.width()});
  for (std::int64_t b = 0; b < state.batch; ++b) {
    std::memcpy(out.f32() + b * x.width(), x.f32() + b * state.length * x.width(), static_cast<std::size_t>(x.width()) * sizeof(float));
  }
  return out;
}

class Embeddings : public BoundBlock {
 public:
  explicit Embeddings(Roles& roles)
      : words_(&roles.need_embedding("words")), positions_(roles.embedding("positions")), types_(roles.embedding("types")), norm_(roles.child("norm")),
        padding_(roles.integer("padding", -1)) {}

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& ids = arguments.front();
    Tensor x = (*words_)(ids, state);
    if (positions_ != nullptr) {
      Tensor places(ids.shape(), DType::int64);
      for (std::int64_t b = 0; b < state.batch; ++b) {
        std::int64_t count = 0;
        for (std::int64_t t = 0; t < state.length; ++t) {
          const std::int64_t at = b * state.length + t;
          const bool token = padding_ < 0 || ids.i64()[at] != padding_;
          count += token ? 1 : 0;
          places.i64()[at] = padding_ < 0 ? t : token ? padding_ + count : padding_;
        }
      }
      add_to(x, (*positions_)(places, state));
    }
    if (types_ != nullptr) {
      Tensor types(ids.shape(), DType::int64);
      const bool given = !state.token_types.empty();
      if (given && state.token_types.count() != ids.count()) throw FormatError("token_type_ids: another shape than input_ids");
      for (std::int64_t i = 0; i < types.count(); ++i) types.i64()[i] = given ? state.token_types.i64()[i] : 0;
      add_to(x, (*types_)(types, state));
    }
    return norm_ == nullptr ? x : (*norm_)(x, state);
  }

 private:
  Module* words_;
  Module* positions_;
  Module* types_;
  Module* norm_;
  std::int64_t padding_;
};

class Encoder : public BoundBlock {
 public:
  explicit Encoder(Roles& roles)
      : embed_(&roles.need_child("embed")), project_(roles.linear("project")), shared_(roles.child("shared")), norm_(roles.child("norm")),
        embed_norm_(roles.child("embed_norm")), pool_by_(roles.child("pool_by")), pool_norm_(roles.child("pool_norm")), pool_(roles.linear("pool")),
        pool_token_(roles.text("pool_token", "")), pool_id_(roles.integer("pool_id", -1)) {
    if (pool_ != nullptr && roles.has("pool_act")) pool_act_ = roles.activation("pool_act");
    if (pool_ == nullptr) roles.find("pool_act");
    if (pool_token_ != "" && pool_token_ != "first" && pool_token_ != "last" && pool_token_ != "largest" && pool_token_ != "id") roles.refuse("pool_token", fmt::format("unknown '{}'", pool_token_));
    if (roles.has("relative_bias")) relative_.emplace(roles, roles.integer("heads"), false);
    Module* list = roles.plain_module("layers");
    if ((list == nullptr) == (shared_ == nullptr)) roles.refuse("layers", "expected layers, or shared ones");
    if (list == nullptr) return;
    for (const auto& layer : list->children()) {
      roles.binder().layer_index = static_cast<std::int64_t>(layers_.size());
      roles.binder().bind(*layer);
      layers_.push_back(layer.get());
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = (*embed_)(arguments.front(), state);
    if (project_ != nullptr) x = (*project_)(x, state);
    if (embed_norm_ != nullptr) x = (*embed_norm_)(x, state);
    if (relative_) relative_->bias(state);
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      if (state.hidden_states != nullptr) state.hidden_states->push_back(x.clone());
      x = (*layer)(x, state);
    }
    if (shared_ != nullptr) x = (*shared_)(x, state);
    if (norm_ != nullptr) x = (*norm_)(x, state);
    if (state.hidden_states != nullptr) state.hidden_states->push_back(x.clone());
    state.outputs = {{"last_hidden_state", x}};
    if (pool_by_ != nullptr) {
      state.outputs.emplace_back("pooler_output", (*pool_by_)(x, state));
    } else if (pool_ != nullptr || pool_norm_ != nullptr || !pool_token_.empty()) {
      Tensor pooled = picked(x, arguments.front(), state);
      if (pool_norm_ != nullptr) pooled = (*pool_norm_)(pooled, state);
      if (pool_ != nullptr) pooled = (*pool_)(pooled, state);
      ops::activate(pool_act_, pooled.f32(), pooled.count());
      state.outputs.emplace_back("pooler_output", pooled);
    }
    return x;
  }

 private:
  /// One token of every row, by pool_token: the first, the last, that of the largest id, the first one that is pool_id (else the first).
  Tensor picked(const Tensor& x, const Tensor& ids, const ForwardState& state) const {
    if (pool_token_.empty() || pool_token_ == "first") return first_tokens(x, state);
    Tensor out({state.batch, x.width()});
    for (std::int64_t b = 0; b < state.batch; ++b) {
      std::int64_t at = pool_token_ == "last" ? state.length - 1 : 0;
      if (pool_token_ == "largest" || pool_token_ == "id") {
        const std::int64_t* row = ids.i64() + b * state.length;
        for (std::int64_t t = state.length - 1; t >= 0; --t) {
          if (pool_token_ == "largest" ? row[t] >= row[at] : row[t] == pool_id_) at = t;
        }
      }
      std::memcpy(out.f32() + b * x.width(), x.f32() + (b * state.length + at) * x.width(), static_cast<std::size_t>(x.width()) * sizeof(float));
    }
    return out;
  }

  Module* embed_;
  Module* project_;
  Module* shared_;
  Module* norm_;
  Module* embed_norm_;
  Module* pool_by_;
  Module* pool_norm_;
  Module* pool_;
  std::string pool_token_;
  std::int64_t pool_id_;
  ops::Activation pool_act_ = ops::Activation::identity;
  std::optional<RelativeBias> relative_;
  std::vector<Module*> layers_;
};

class SharedLayers : public BoundBlock {
 public:
  explicit SharedLayers(Roles& roles) : project_(roles.linear("project")), depth_(roles.integer("depth")) {
    Module* groups = roles.plain_module("groups");
    if (groups == nullptr || groups->children().empty()) roles.refuse("groups", "is missing");
    for (const auto& group : groups->children()) {
      if (group->children().empty()) roles.refuse("groups", "a group has no layers");
      groups_.emplace_back();
      for (const auto& layer : group->children().front()->children()) {
        roles.binder().bind(*layer);
        groups_.back().push_back(layer.get());
      }
    }
    if (depth_ < 0 || depth_ > 1'000'000) roles.refuse("depth", fmt::format("{}", depth_));
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = project_ == nullptr ? arguments.front() : (*project_)(arguments.front(), state);
    const auto groups = static_cast<std::int64_t>(groups_.size());
    for (std::int64_t i = 0; i < depth_; ++i) {
      state.work.throw_if_stopped();
      for (Module* layer : groups_[static_cast<std::size_t>(i * groups / depth_)]) x = (*layer)(x, state);
    }
    return x;
  }

 private:
  Module* project_;
  std::int64_t depth_;
  std::vector<std::vector<Module*>> groups_;
};

class Head : public BoundBlock {
 public:
  explicit Head(Roles& roles) : body_(&roles.need_child("body")), read_(roles.text("read", "tokens")), spans_(roles.boolean("spans", false)) {
    if (read_ != "tokens" && read_ != "first" && read_ != "pooled") roles.refuse("read", fmt::format("unknown '{}'", read_));
    const spec::Value* steps = roles.find("steps");
    if (steps == nullptr || steps->if_list() == nullptr) roles.refuse("steps", "expected a list");
    for (const spec::Value& step : *steps->if_list()) {
      Step out;
      if (const std::string* name = step.if_string()) {
        const std::optional<ops::Activation> act = ops::find_activation(*name);
        if (!act) roles.refuse("steps", fmt::format("unknown function '{}'", *name));
        out.act = *act;
      } else if (const spec::MemberRef* member = step.if_member()) {
        out.module = roles.module().find(member->path);
        if (out.module == nullptr) roles.refuse("steps", fmt::format("there is no module '{}'", member->path));
        if (out.module->meta().block) {
          roles.binder().bind(*out.module);
        } else {
          roles.binder().bind_linear(*out.module, false);
        }
      } else {
        roles.refuse("steps", fmt::format("expected members and names, got {}", step.describe()));
      }
      steps_.push_back(out);
    }
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor hidden = (*body_)(arguments, state);
    Tensor x = hidden;
    if (read_ == "first") x = first_tokens(hidden, state);
    if (read_ == "pooled") {
      x = Tensor();
      for (const auto& [name, tensor] : state.outputs) {
        if (name == "pooler_output") x = tensor;
      }
      if (!x.empty() && x.shape().size() > 2) x = x.reshaped({x.shape()[0], x.count() / x.shape()[0]});
      if (x.empty()) throw UnsupportedError(fmt::format("{}: its body pools nothing", self.meta().class_name));
    }
    for (const Step& step : steps_) {
      if (step.module != nullptr) {
        x = (*step.module)(x, state);
      } else {
        x = x.clone();
        ops::activate(step.act, x.f32(), x.count());
      }
    }
    state.outputs.clear();
    if (!spans_) {
      state.outputs.emplace_back("logits", x);
      return x;
    }
    if (x.width() != 2) throw UnsupportedError(fmt::format("{}: {} scores a token, expected two", self.meta().class_name, x.width()));
    for (const std::int64_t column : {0, 1}) {
      state.outputs.emplace_back(column == 0 ? "start_logits" : "end_logits", columns(x, column, 1).reshaped({state.batch, state.length}));
    }
    return x;
  }

 private:
  struct Step {
    Module* module = nullptr;
    ops::Activation act = ops::Activation::identity;
  };
  Module* body_;
  std::string read_;
  bool spans_;
  std::vector<Step> steps_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_embeddings(Roles& roles) { return std::make_unique<Embeddings>(roles); }
std::unique_ptr<BoundBlock> make_encoder(Roles& roles) { return std::make_unique<Encoder>(roles); }
std::unique_ptr<BoundBlock> make_shared_layers(Roles& roles) { return std::make_unique<SharedLayers>(roles); }
std::unique_ptr<BoundBlock> make_head(Roles& roles) { return std::make_unique<Head>(roles); }

}  // namespace bigmodel
