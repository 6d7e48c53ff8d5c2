// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/seq2seq.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

/// Runs the encoder where its states are not known yet, then the decoder.
class EncoderDecoder : public BoundBlock {
 public:
  explicit EncoderDecoder(Roles& roles) : encoder_(&roles.need_child("encoder")), decoder_(&roles.need_child("decoder")) {
    roles.find("embed_scale");   // of the embeddings, which the stacks say as well
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    if (state.memory.empty()) {
      if (arguments.size() < 2 || arguments[1].empty()) throw UsageError("the encoder's input: is missing");
      const Tensor& in = arguments[1];
      ForwardState own;
      own.work = state.work;
      own.cpu = state.cpu;
      own.accelerator_cache = state.accelerator_cache;
      own.batch = state.batch;
      own.length = in.dtype() == DType::int64 ? in.count() / state.batch : 0;
      own.valid = state.memory_valid;
      place_tokens(own);
      state.memory = (*encoder_)(in, own);
    }
    const Tensor x = (*decoder_)(arguments[0], state);
    state.outputs = {{"last_hidden_state", x}, {"encoder_last_hidden_state", state.memory}};
    return x;
  }

 private:
  Module* encoder_;
  Module* decoder_;
};

class Seq2SeqLm : public BoundBlock {
 public:
  explicit Seq2SeqLm(Roles& roles)
      : body_(roles.child("body")), head_(roles.linear("head")), bias_(roles.tensor("bias")), input_scale_(roles.number("input_scale", 1.0F)) {
    if (body_ == nullptr) own_.emplace(roles);
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    Tensor x = body_ == nullptr ? own_->forward(self, arguments, state) : (*body_)(arguments, state);
    if (state.last_only && state.length > 1) x = last_tokens(x, state);
    if (input_scale_ != 1.0F) {
      x = x.clone();
      scale_by(x, input_scale_);
    }
    const Tensor logits = head_ == nullptr ? x : (*head_)(x, state);   // some decoders end in their own head
    if (bias_ != nullptr) {
      const std::int64_t count = element_count(bias_->view.shape);
      if (count != logits.width()) throw FormatError(fmt::format("{}: {} values for {} logits", bias_->full_name, count, logits.width()));
      const OperationsOn on(logits, state);
      const Tensor bias = beside(logits, {count});
      on->widen(bias_->view, bias.data());
      for (std::int64_t r = 0; r < logits.rows(); ++r) on->add_scaled(logits.data() + r * count, bias.data(), 1.0F, count);
    }
    state.outputs = {{"logits", logits}, {"encoder_last_hidden_state", state.memory}};
    return logits;
  }

 private:
  Module* body_;
  std::optional<EncoderDecoder> own_;
  Module* head_;
  ModuleTensor* bias_;
  float input_scale_;
};

class AudioStack : public BoundBlock {
 public:
  explicit AudioStack(Roles& roles)
      : conv1_(&roles.need_conv("conv1", {.padding = {1}})), conv2_(&roles.need_conv("conv2", {.stride = {2}, .padding = {1}})), positions_(&roles.need_embedding("positions")), norm_(roles.child("norm")), layers_(roles.bound_list("layers")) {}

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& features = arguments.front();
    if (features.dtype() != DType::float32 || features.shape().size() != 3) throw UsageError(fmt::format("input_features: shape {}, expected [batch, channels, frames]", to_string(features.shape())));
    const auto gelu = [](const Tensor& t) {
      ops::activate(ops::Activation::gelu, t.f32(), t.count());
      return t;
    };
    const Tensor wide = gelu((*conv2_)(gelu((*conv1_)(features, state)), state));
    const std::int64_t channels = wide.shape()[1];
    state.length = wide.width();
    place_tokens(state);
    Tensor x({state.batch, state.length, channels});
    Tensor ids({state.batch, state.length}, DType::int64);
    for (std::int64_t b = 0; b < state.batch; ++b) {
      for (std::int64_t t = 0; t < state.length; ++t) {
        ids.i64()[b * state.length + t] = t;
        for (std::int64_t c = 0; c < channels; ++c) x.f32()[(b * state.length + t) * channels + c] = wide.f32()[(b * channels + c) * state.length + t];
      }
    }
    add_to(x, (*positions_)(ids, state));
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      x = (*layer)(x, state);
    }
    return norm_ == nullptr ? x : (*norm_)(x, state);
  }

 private:
  Module* conv1_;
  Module* conv2_;
  Module* positions_;
  Module* norm_;
  std::vector<Module*> layers_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_encoder_decoder(Roles& roles) { return std::make_unique<EncoderDecoder>(roles); }
std::unique_ptr<BoundBlock> make_seq2seq_lm(Roles& roles) { return std::make_unique<Seq2SeqLm>(roles); }
std::unique_ptr<BoundBlock> make_audio_stack(Roles& roles) { return std::make_unique<AudioStack>(roles); }

}  // namespace bigmodel
