// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/conv_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/blocks/vision.h"

namespace bigmodel {
namespace {

const Tensor& image_of(const Arguments& arguments) {
  const Tensor& x = arguments.front();
  if (x.dtype() != DType::float32 || x.shape().size() != 4) throw UsageError(fmt::format("pixel_values: shape {}, expected [batch, channels, height, width]", to_string(x.shape())));
  return x;
}

/// The mean over all pixels: [batch, channels].
Tensor mean_of(const Tensor& image) {
  const Shape& s = image.shape();
  const std::int64_t pixels = s[2] * s[3];
  Tensor out({s[0], s[1]});
  for (std::int64_t i = 0; i < out.count(); ++i) {
    double sum = 0;
    for (std::int64_t p = 0; p < pixels; ++p) sum += image.f32()[i * pixels + p];
    out.f32()[i] = static_cast<float>(sum / static_cast<double>(pixels));
  }
  return out;
}

class ConvNextLayer : public BoundBlock {
 public:
  explicit ConvNextLayer(Roles& roles)
      : norm_(&roles.need_child("norm")), up_(&roles.need_linear("up")), down_(&roles.need_linear("down")), scale_(roles.tensor("scale")), act_(roles.activation("act")) {
    Module* conv = roles.plain_module("conv");
    if (conv == nullptr || conv->find_tensor("weight") == nullptr) roles.refuse("conv", "is missing");
    const Shape& shape = conv->find_tensor("weight")->meta->shape;
    if (shape.size() != 4 || shape[1] != 1) roles.refuse("conv", "expected one channel a group");
    conv_ = &roles.need_conv("conv", {.padding = {shape[2] / 2, shape[3] / 2}, .groups = shape[0]});
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = image_of(arguments);
    const Tensor h = (*up_)((*norm_)(channels_last((*conv_)(x, state)), state), state);
    ops::activate(state.context(), act_, h.f32(), h.count());
    const Tensor y = (*down_)(h, state);
    if (scale_ != nullptr) {
      const std::vector<float> scale = values(*scale_);
      for (std::int64_t i = 0; i < y.count(); ++i) y.f32()[i] *= scale[static_cast<std::size_t>(i % y.width())];
    }
    Tensor out = channels_first(y, x.shape());
    add_to(out, x);
    return out;
  }

 private:
  Module* conv_ = nullptr;
  Module* norm_;
  Module* up_;
  Module* down_;
  ModuleTensor* scale_;
  ops::Activation act_;
};

/// A module that norms channels, on an image.
Tensor channel_normed(Module& norm, const Tensor& x, ForwardState& state) { return channels_first(norm(channels_last(x), state), x.shape()); }

class ConvNextStage : public BoundBlock {
 public:
  explicit ConvNextStage(Roles& roles) {
    Module* down = roles.plain_module("down");
    Module* layers = roles.plain_module("layers");
    if (layers == nullptr || (down != nullptr && !down->children().empty() && down->children().size() != 2)) roles.refuse("down", "expected nothing, or a norm and a convolution");
    if (down != nullptr && !down->children().empty()) {
      norm_ = down->children()[0].get();
      conv_ = down->children()[1].get();
      roles.binder().bind(*norm_);
      roles.binder().bind_conv(*conv_, {.stride = {2, 2}});
    }
    for (const auto& layer : layers->children()) {
      roles.binder().bind(*layer);
      layers_.push_back(layer.get());
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = image_of(arguments);
    if (conv_ != nullptr) x = (*conv_)(channel_normed(*norm_, x, state), state);
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      x = (*layer)(x, state);
    }
    return x;
  }

 private:
  Module* norm_ = nullptr;
  Module* conv_ = nullptr;
  std::vector<Module*> layers_;
};

class ConvNext : public BoundBlock {
 public:
  explicit ConvNext(Roles& roles)
      : stem_(&roles.need_conv("stem", {.stride = {roles.integer("stem_stride"), roles.integer("stem_stride")}})), stem_norm_(&roles.need_child("stem_norm")),
        norm_(&roles.need_child("norm")) {
    Module* stages = roles.plain_module("stages");
    if (stages == nullptr) roles.refuse("stages", "is missing");
    for (const auto& stage : stages->children()) {
      roles.binder().bind(*stage);
      stages_.push_back(stage.get());
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = channel_normed(*stem_norm_, (*stem_)(image_of(arguments), state), state);
    for (Module* stage : stages_) x = (*stage)(x, state);
    state.outputs = {{"last_hidden_state", x}, {"pooler_output", (*norm_)(mean_of(x), state)}};
    return x;
  }

 private:
  Module* stem_;
  Module* stem_norm_;
  Module* norm_;
  std::vector<Module*> stages_;
};

class ConvNormAct : public BoundBlock {
 public:
  explicit ConvNormAct(Roles& roles) : norm_(roles.plain_module("norm")) {
    const std::int64_t stride = roles.integer("stride");
    Module* conv = roles.plain_module("conv");
    if (conv == nullptr || conv->find_tensor("weight") == nullptr || norm_ == nullptr) roles.refuse("conv", "expected a convolution and a norm");
    const Shape& shape = conv->find_tensor("weight")->meta->shape;
    if (shape.size() != 4) roles.refuse("conv", "expected two dimensions");
    conv_ = &roles.need_conv("conv", {.stride = {stride, stride}, .padding = {shape[2] / 2, shape[3] / 2}});
    for (const char* name : {"weight", "bias", "running_mean", "running_var"}) {
      if (roles.tensor_of(*norm_, name) == nullptr) roles.refuse("norm", fmt::format("has no {}", name));
    }
    if (roles.has("act")) act_ = roles.activation("act");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor y = (*conv_)(image_of(arguments), state);
    const std::vector<float> weight = values(*norm_->find_tensor("weight")), bias = values(*norm_->find_tensor("bias"));
    const std::vector<float> mean = values(*norm_->find_tensor("running_mean")), variance = values(*norm_->find_tensor("running_var"));
    const std::int64_t pixels = y.shape()[2] * y.shape()[3];
    for (std::int64_t i = 0; i < y.count() / pixels; ++i) {
      const auto c = static_cast<std::size_t>(i % y.shape()[1]);
      const float factor = weight[c] / std::sqrt(variance[c] + 1e-5F);
      for (std::int64_t p = 0; p < pixels; ++p) y.f32()[i * pixels + p] = (y.f32()[i * pixels + p] - mean[c]) * factor + bias[c];
    }
    if (act_) ops::activate(state.context(), *act_, y.f32(), y.count());
    return y;
  }

 private:
  Module* conv_ = nullptr;
  Module* norm_;
  std::optional<ops::Activation> act_;
};

class Residual : public BoundBlock {
 public:
  explicit Residual(Roles& roles) : act_(roles.activation("act")) {
    Module* list = roles.plain_module("body");
    if (list == nullptr) roles.refuse("body", "is missing");
    for (const auto& part : list->children()) {
      roles.binder().bind(*part);
      body_.push_back(part.get());
    }
    Module* shortcut = roles.plain_module("shortcut");
    if (shortcut != nullptr && !shortcut->children().empty()) {
      roles.binder().bind(*shortcut);
      shortcut_ = shortcut;
    }
    roles.find("stride");
    roles.find("stride_first");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = image_of(arguments);
    Tensor y = x;
    for (Module* part : body_) y = (*part)(y, state);
    const Tensor aside = shortcut_ == nullptr ? x : (*shortcut_)(x, state);
    if (aside.shape() != y.shape()) throw FormatError(fmt::format("a residual of {} beside {}", to_string(aside.shape()), to_string(y.shape())));
    add_to(y, aside);
    ops::activate(state.context(), act_, y.f32(), y.count());
    return y;
  }

 private:
  ops::Activation act_;
  std::vector<Module*> body_;
  Module* shortcut_ = nullptr;
};

/// The largest of 3x3 pixels, two apart.
Tensor pooled(const Tensor& x) {
  const Shape& s = x.shape();
  const std::int64_t height = (s[2] - 1) / 2 + 1;
  const std::int64_t width = (s[3] - 1) / 2 + 1;
  Tensor out({s[0], s[1], height, width});
  for (std::int64_t n = 0; n < s[0] * s[1]; ++n) {
    for (std::int64_t i = 0; i < height; ++i) {
      for (std::int64_t j = 0; j < width; ++j) {
        float best = -INFINITY;
        for (std::int64_t a = std::max<std::int64_t>(2 * i - 1, 0); a < std::min(2 * i + 2, s[2]); ++a) {
          for (std::int64_t b = std::max<std::int64_t>(2 * j - 1, 0); b < std::min(2 * j + 2, s[3]); ++b) best = std::max(best, x.f32()[(n * s[2] + a) * s[3] + b]);
        }
        out.f32()[(n * height + i) * width + j] = best;
      }
    }
  }
  return out;
}

class ResNet : public BoundBlock {
 public:
  explicit ResNet(Roles& roles) : stem_(&roles.need_child("stem")) {
    Module* stages = roles.plain_module("stages");
    if (stages == nullptr) roles.refuse("stages", "is missing");
    for (const auto& stage : stages->children()) {
      Module* layers = stage->find("layers");
      if (layers == nullptr) roles.refuse("stages", "expected layers");
      for (const auto& layer : layers->children()) {
        roles.binder().bind(*layer);
        layers_.push_back(layer.get());
      }
    }
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = pooled((*stem_)(image_of(arguments), state));
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      x = (*layer)(x, state);
    }
    const Tensor mean = mean_of(x);
    state.outputs = {{"last_hidden_state", x}, {"pooler_output", mean.reshaped({mean.shape()[0], mean.shape()[1], 1, 1})}};
    return x;
  }

 private:
  Module* stem_;
  std::vector<Module*> layers_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_convnext(Roles& roles) { return std::make_unique<ConvNext>(roles); }
std::unique_ptr<BoundBlock> make_convnext_stage(Roles& roles) { return std::make_unique<ConvNextStage>(roles); }
std::unique_ptr<BoundBlock> make_convnext_layer(Roles& roles) { return std::make_unique<ConvNextLayer>(roles); }
std::unique_ptr<BoundBlock> make_resnet(Roles& roles) { return std::make_unique<ResNet>(roles); }
std::unique_ptr<BoundBlock> make_residual(Roles& roles) { return std::make_unique<Residual>(roles); }
std::unique_ptr<BoundBlock> make_conv_norm_act(Roles& roles) { return std::make_unique<ConvNormAct>(roles); }

}  // namespace bigmodel
