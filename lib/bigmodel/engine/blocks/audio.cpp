// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/audio.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/vision.h"

namespace bigmodel {
namespace {

class ConvFeatureLayer : public BoundBlock {
 public:
  explicit ConvFeatureLayer(Roles& roles)
      : stride_(roles.integer("stride")), conv_(&roles.need_conv("conv", {.stride = {stride_}})), norm_(roles.child("norm")), time_norm_(roles.plain_module("time_norm")),
        act_(roles.activation("act")) {
    if (time_norm_ != nullptr && (roles.tensor_of(*time_norm_, "weight") == nullptr || roles.tensor_of(*time_norm_, "bias") == nullptr)) roles.refuse("time_norm", "expected a weight and a bias");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = (*conv_)(arguments.front(), state);
    const Shape shape = x.shape();
    if (norm_ != nullptr) x = channels_first((*norm_)(channels_last(x), state), shape);
    if (time_norm_ != nullptr) norm_times(x);
    ops::activate(state.context(), act_, x.f32(), x.count());
    return x;
  }

  std::int64_t places(std::int64_t samples) const {
    const std::int64_t kernel = conv_->find_tensor("weight")->meta->shape[2];
    return samples < kernel ? 0 : (samples - kernel) / stride_ + 1;
  }

 private:
  void norm_times(const Tensor& x) const {
    const std::vector<float> weight = values(*time_norm_->find_tensor("weight")), bias = values(*time_norm_->find_tensor("bias"));
    const std::int64_t times = x.width();
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      float* row = x.f32() + r * times;
      double sum = 0, squares = 0;
      for (std::int64_t t = 0; t < times; ++t) sum += row[t];
      const double mean = sum / static_cast<double>(times);
      for (std::int64_t t = 0; t < times; ++t) squares += (row[t] - mean) * (row[t] - mean);
      const auto c = static_cast<std::size_t>(r % x.shape()[1]);
      const auto factor = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(times) + 1e-5));
      for (std::int64_t t = 0; t < times; ++t) row[t] = (row[t] - static_cast<float>(mean)) * factor * weight[c] + bias[c];
    }
  }

  std::int64_t stride_;
  Module* conv_;
  Module* norm_;
  Module* time_norm_;
  ops::Activation act_;
};

class ConvPositions : public BoundBlock {
 public:
  explicit ConvPositions(Roles& roles) : conv_(roles.plain_module("conv")), groups_(roles.integer("groups", 1)), act_(roles.activation("act")) {
    Module* parts = conv_ == nullptr ? nullptr : conv_->find("parametrizations.weight");
    size_ = parts == nullptr ? nullptr : roles.tensor_of(*parts, "original0");
    direction_ = parts == nullptr ? nullptr : roles.tensor_of(*parts, "original1");
    if (size_ == nullptr || direction_ == nullptr || direction_->meta->shape.size() != 3) roles.refuse("conv", "expected a weight in two parts");
    const Shape& shape = direction_->meta->shape;
    if (size_->meta->shape != Shape{1, 1, shape[2]} || groups_ < 1 || shape[0] % groups_ != 0 || shape[1] * groups_ != shape[0]) roles.refuse("conv", fmt::format("shape {}", to_string(shape)));
    bias_ = roles.tensor_of(*conv_, "bias");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const Shape& shape = direction_->meta->shape;
    std::vector<float> weight = values(*direction_);
    const std::vector<float> size = values(*size_);
    const auto kernel = static_cast<std::size_t>(shape[2]);
    std::vector<double> squares(kernel, 0.0);
    for (std::size_t i = 0; i < weight.size(); ++i) squares[i % kernel] += static_cast<double>(weight[i]) * weight[i];
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] *= size[i % kernel] / static_cast<float>(std::sqrt(squares[i % kernel]));
    const TensorView matrix{DType::float32, shape, reinterpret_cast<const std::byte*>(weight.data())};
    const Tensor turned = channels_first(x, {state.batch, x.width(), state.length});
    const Tensor wide = convolve(turned, matrix, bias_ == nullptr ? nullptr : &bias_->view, {.stride = {1}, .padding = {shape[2] / 2}, .groups = groups_}, conv_->name(), state);
    // A kernel of even width gives one place too many.
    Tensor out(turned.shape());
    for (std::int64_t r = 0; r < out.rows(); ++r) std::copy_n(wide.f32() + r * wide.width(), out.width(), out.f32() + r * out.width());
    ops::activate(state.context(), act_, out.f32(), out.count());
    return channels_last(out);
  }

 private:
  Module* conv_;
  std::int64_t groups_;
  ops::Activation act_;
  ModuleTensor* size_ = nullptr;
  ModuleTensor* direction_ = nullptr;
  ModuleTensor* bias_ = nullptr;
};

class WaveformEncoder : public BoundBlock {
 public:
  explicit WaveformEncoder(Roles& roles)
      : features_(roles.bound_list("features")), feature_norm_(roles.child("feature_norm")), project_(&roles.need_linear("project")), positions_(&roles.need_child("positions")),
        embed_norm_(roles.child("embed_norm")), layers_(roles.bound_list("layers")), norm_(roles.child("norm")), gives_features_(roles.boolean("gives_features", false)) {
    for (const Module* m : features_) {
      if (dynamic_cast<const ConvFeatureLayer*>(m->block()) == nullptr) roles.refuse("features", "expected layers of kind conv_feature_layer");
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& samples = arguments.front();
    if (samples.dtype() != DType::float32 || samples.shape().size() != 2) throw UsageError(fmt::format("input_values: shape {}, expected [batch, samples]", to_string(samples.shape())));
    const std::int64_t count = samples.width();
    Tensor x = samples.reshaped({state.batch, 1, count});
    for (Module* layer : features_) x = (*layer)(x, state);
    x = channels_last(x);
    state.length = x.shape()[1];
    mask_places(state, count);
    if (feature_norm_ != nullptr) x = (*feature_norm_)(x, state);
    state.outputs.clear();
    if (gives_features_) state.outputs.emplace_back("extract_features", x);
    x = (*project_)(x, state);
    clear_padding(x, state);
    add_to(x, (*positions_)(x, state));
    if (embed_norm_ != nullptr) x = (*embed_norm_)(x, state);
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      x = (*layer)(x, state);
    }
    if (norm_ != nullptr) x = (*norm_)(x, state);
    state.outputs.emplace_back("last_hidden_state", x);
    return x;
  }

 private:
  /// From which samples count to which places do: as many as those samples give alone.
  void mask_places(ForwardState& state, std::int64_t samples) const {
    if (!state.valid.empty()) {
      std::vector<std::uint8_t> places;
      for (std::int64_t b = 0; b < state.batch; ++b) {
        std::int64_t count = 0;
        for (std::int64_t i = 0; i < samples; ++i) count += state.valid[static_cast<std::size_t>(b * samples + i)];
        for (Module* layer : features_) count = static_cast<const ConvFeatureLayer*>(layer->block())->places(count);
        for (std::int64_t t = 0; t < state.length; ++t) places.push_back(t < count ? 1 : 0);
      }
      state.valid = std::move(places);
    }
    place_tokens(state);
  }

  std::vector<Module*> features_;
  Module* feature_norm_;
  Module* project_;
  Module* positions_;
  Module* embed_norm_;
  std::vector<Module*> layers_;
  Module* norm_;
  bool gives_features_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_conv_feature_layer(Roles& roles) { return std::make_unique<ConvFeatureLayer>(roles); }
std::unique_ptr<BoundBlock> make_conv_positions(Roles& roles) { return std::make_unique<ConvPositions>(roles); }
std::unique_ptr<BoundBlock> make_waveform_encoder(Roles& roles) { return std::make_unique<WaveformEncoder>(roles); }

}  // namespace bigmodel
