// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/steps.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/engine/relative_bias.h"

namespace bigmodel {
namespace {

/// Of x [batch, length, size] in RAM the mean of all tokens of every row, padding included.
Tensor mean_rows(const Tensor& x, const ForwardState& state) {
  const Tensor out = Tensor::zeros({state.batch, x.width()});
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t i = 0; i < x.width(); ++i) out.f32()[r / state.length * x.width() + i] += x.f32()[r * x.width() + i];
  }
  scale_by(out, 1.0F / static_cast<float>(state.length));
  return out;
}

class Embeddings : public BoundBlock {
 public:
  explicit Embeddings(Roles& roles)
      : words_(&roles.need_embedding("words")), positions_(roles.embedding("positions")), types_(roles.embedding("types")), norm_(roles.child("norm")),
        project_(roles.linear("project")), padding_(roles.integer("padding", -1)), zero_padding_(roles.boolean("zero_padding", false)) {}

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = (*words_)(arguments.front(), state);
    const Tensor ids = arguments.front().to(cpu_device());
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
    if (project_ != nullptr) x = (*project_)(x, state);
    if (norm_ != nullptr) x = (*norm_)(x, state);
    if (zero_padding_) clear_padding(x, state);
    return x;
  }

 private:
  Module* words_;
  Module* positions_;
  Module* types_;
  Module* norm_;
  Module* project_;
  std::int64_t padding_;
  bool zero_padding_;
};

class Encoder : public BoundBlock {
 public:
  explicit Encoder(Roles& roles)
      : embed_(&roles.need_child("embed")), project_(roles.linear("project")), shared_(roles.child("shared")), norm_(roles.child("norm")),
        embed_norm_(roles.child("embed_norm")), pool_by_(roles.child("pool_by")), pool_norm_(roles.child("pool_norm")), pool_(roles.linear("pool")),
        pool_token_(roles.text("pool_token", "")), pool_id_(roles.integer("pool_id", -1)) {
    if (pool_ != nullptr && roles.has("pool_act")) pool_act_ = roles.activation("pool_act");
    if (pool_ == nullptr) roles.find("pool_act");
    if (pool_token_ != "" && pool_token_ != "first" && pool_token_ != "last" && pool_token_ != "largest" && pool_token_ != "id" && pool_token_ != "mean") roles.refuse("pool_token", fmt::format("unknown '{}'", pool_token_));
    if (roles.has("relative_bias")) relative_.emplace(roles, roles.integer("heads"), false);
    relative_rows_ = roles.embedding("relative_rows");
    relative_norm_ = roles.child("relative_norm");
    first_conv_ = roles.child("first_conv");
    Module* list = roles.plain_module("layers");
    if ((list == nullptr) == (shared_ == nullptr)) roles.refuse("layers", "expected layers, or shared ones");
    if (list != nullptr) layers_ = roles.bound_list("layers");
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = (*embed_)(arguments.front(), state);
    if (project_ != nullptr) x = (*project_)(x, state);
    if (embed_norm_ != nullptr) x = (*embed_norm_)(x, state);
    if (relative_) relative_->bias(state);
    if (relative_rows_ != nullptr) lay_relative_rows(state);
    const Tensor first = x;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      state.work.throw_if_stopped();
      if (state.hidden_states != nullptr) state.hidden_states->push_back(x.clone());
      x = (*layers_[i])(x, state);
      if (i == 0 && first_conv_ != nullptr) x = (*first_conv_)(Arguments{first, x}, state);
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
      OperationsOn(pooled, state)->activate(pool_act_, pooled.data(), pooled.count());
      state.outputs.emplace_back("pooler_output", pooled);
    }
    return x;
  }

 private:
  void lay_relative_rows(ForwardState& state) const {
    const std::int64_t count = relative_rows_->find_tensor("weight")->meta->shape[0];
    Tensor ids({count}, DType::int64);
    for (std::int64_t i = 0; i < count; ++i) ids.i64()[i] = i;
    state.relative_rows = (*relative_rows_)(ids, state);
    if (relative_norm_ != nullptr) state.relative_rows = (*relative_norm_)(state.relative_rows, state);
  }

  /// One row for all tokens of a sequence, by pool_token: their mean, the first, the last, that of the largest id, the first one that is pool_id (else the first).
  Tensor picked(const Tensor& rows, const Tensor& all_ids, const ForwardState& state) const {
    if (pool_token_.empty() || pool_token_ == "first") return first_tokens(rows, state);
    return picked_in_ram(rows.to(cpu_device()), all_ids.to(cpu_device()), state).to(rows.device());
  }

  Tensor picked_in_ram(const Tensor& x, const Tensor& ids, const ForwardState& state) const {
    Tensor out({state.batch, x.width()});
    if (pool_token_ == "mean") return mean_rows(x, state);
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
  Module* relative_rows_ = nullptr;
  Module* relative_norm_ = nullptr;
  Module* first_conv_ = nullptr;
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

  bool runs_on_accelerators() const override { return true; }
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
  explicit Head(Roles& roles)
      : body_(&roles.need_child("body")), read_(roles.text("read", "tokens")), gives_(roles.text("gives", "logits")), spans_(roles.boolean("spans", false)),
        padding_(roles.integer("padding", -1)), relevance_(roles.linear("relevance")), steps_(roles, "steps") {
    if (read_ != "tokens" && read_ != "first" && read_ != "mean" && read_ != "pooled") roles.refuse("read", fmt::format("unknown '{}'", read_));
    if (!roles.has("steps")) roles.refuse("steps", "is missing");
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    if (padding_ >= 0 && state.valid.empty()) mask_padding(arguments.front(), state);
    const Tensor hidden = (*body_)(arguments, state);
    Tensor x = hidden;
    if (read_ == "first") x = first_tokens(hidden, state);
    if (read_ == "mean") x = mean_rows(hidden.to(cpu_device()), state).to(hidden.device());
    if (read_ == "pooled") {
      x = Tensor();
      for (const auto& [name, tensor] : state.outputs) {
        if (name == "pooler_output") x = tensor.to(hidden.device());
      }
      if (!x.empty() && x.shape().size() > 2) x = x.reshaped({x.shape()[0], x.count() / x.shape()[0]});
      if (x.empty()) throw UnsupportedError(fmt::format("{}: its body pools nothing", self.meta().class_name));
    }
    x = steps_(x, state);
    state.outputs.clear();
    if (!spans_) {
      state.outputs.emplace_back(gives_, x);
      return x;
    }
    if (x.width() != 2) throw UnsupportedError(fmt::format("{}: {} scores a token, expected two", self.meta().class_name, x.width()));
    for (const std::int64_t column : {0, 1}) {
      state.outputs.emplace_back(column == 0 ? "start_logits" : "end_logits", columns(x, column, 1).reshaped({state.batch, state.length}));
    }
    if (relevance_ != nullptr) state.outputs.emplace_back("relevance_logits", (*relevance_)(first_tokens(hidden, state), state).reshaped({state.batch}));
    return x;
  }

 private:
  void mask_padding(const Tensor& given, ForwardState& state) const {
    const Tensor ids = given.to(cpu_device());
    for (std::int64_t i = 0; i < ids.count(); ++i) state.valid.push_back(ids.i64()[i] != padding_ ? 1 : 0);
    if (std::ranges::find(state.valid, 0) == state.valid.end()) state.valid.clear();
  }

  Module* body_;
  std::string read_, gives_;
  bool spans_;
  std::int64_t padding_;
  Module* relevance_;
  Steps steps_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_embeddings(Roles& roles) { return std::make_unique<Embeddings>(roles); }
std::unique_ptr<BoundBlock> make_encoder(Roles& roles) { return std::make_unique<Encoder>(roles); }
std::unique_ptr<BoundBlock> make_shared_layers(Roles& roles) { return std::make_unique<SharedLayers>(roles); }
std::unique_ptr<BoundBlock> make_head(Roles& roles) { return std::make_unique<Head>(roles); }

}  // namespace bigmodel
