// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/vision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/ops/attention.h"
#include "bigmodel/ops/linear.h"

namespace bigmodel {
namespace {

/// One number or a pair, as configs give sizes of patches.
std::vector<std::int64_t> pair_of(Roles& roles, std::string_view name) {
  const spec::Value* v = roles.find(name);
  if (v == nullptr) roles.refuse(name, "is missing");
  if (const auto* list = v->if_list()) {
    std::vector<std::int64_t> out;
    for (const spec::Value& item : *list) {
      if (item.if_int() == nullptr) roles.refuse(name, "expected integers");
      out.push_back(*item.if_int());
    }
    return out;
  }
  return {roles.integer(name), roles.integer(name)};
}

/// PyTorch's bicubic interpolate (align_corners false) of rows that lie on a grid, from side x side to height x width.
std::vector<float> resized(const float* rows, std::int64_t side, std::int64_t size, std::int64_t height, std::int64_t width) {
  struct Taps {
    std::int64_t at[4];
    float weight[4];
  };
  const auto taps = [side](std::int64_t i, std::int64_t out) {
    const float place = (static_cast<float>(i) + 0.5F) * (static_cast<float>(side) / static_cast<float>(out)) - 0.5F;
    const float floor = std::floor(place);
    const float t = place - floor;
    constexpr float a = -0.75F;
    const auto near = [&](float d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
    const auto far = [&](float d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
    Taps out_taps{{}, {far(t + 1), near(t), near(1 - t), far(2 - t)}};
    for (std::int64_t k = 0; k < 4; ++k) out_taps.at[k] = std::clamp<std::int64_t>(static_cast<std::int64_t>(floor) + k - 1, 0, side - 1);
    return out_taps;
  };
  std::vector<float> out(static_cast<std::size_t>(height * width * size), 0.0F);
  for (std::int64_t y = 0; y < height; ++y) {
    const Taps vertical = taps(y, height);
    for (std::int64_t x = 0; x < width; ++x) {
      const Taps across = taps(x, width);
      float* to = out.data() + (y * width + x) * size;
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) {
          const float* from = rows + (vertical.at[i] * side + across.at[j]) * size;
          for (std::int64_t d = 0; d < size; ++d) to[d] += vertical.weight[i] * across.weight[j] * from[d];
        }
      }
    }
  }
  return out;
}

class VisionEmbeddings : public BoundBlock {
 public:
  explicit VisionEmbeddings(Roles& roles) : patch_(&roles.need_conv("patch", {.stride = pair_of(roles, "stride")})), norm_(roles.child("norm")), pad_(roles.boolean("pad", false)) {
    for (const char* name : {"class", "distillation"}) {
      if (ModuleTensor* t = roles.tensor(name)) special_.push_back(t);
    }
    const std::string resize = roles.text("resize", "");
    if (!resize.empty() && resize != "bicubic") roles.refuse("resize", fmt::format("unknown '{}'", resize));
    resize_ = !resize.empty();
    const spec::Value* positions = roles.find("positions");
    if (positions == nullptr) return;
    if (positions->if_member() == nullptr) roles.refuse("positions", "expected a member");
    if (roles.module().find_tensor(positions->if_member()->path) != nullptr) {
      position_rows_ = roles.tensor("positions");
    } else {
      position_table_ = &roles.need_embedding("positions");
    }
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& pixels = arguments.front();
    if (pixels.dtype() != DType::float32 || pixels.shape().size() != 4) throw UsageError(fmt::format("pixel_values: shape {}, expected [batch, channels, height, width]", to_string(pixels.shape())));
    const Tensor image = (*patch_)(pad_ ? padded(pixels) : pixels, state);
    Tensor patches = channels_last(image);
    if (norm_ != nullptr) patches = (*norm_)(patches, state);
    state.grid_height = image.shape()[2];
    state.grid_width = image.shape()[3];
    const std::int64_t size = patches.width();
    const auto first = static_cast<std::int64_t>(special_.size());
    state.batch = pixels.shape()[0];
    state.length = first + patches.shape()[1];
    place_tokens(state);
    Tensor x({state.batch, state.length, size});
    const auto row_bytes = static_cast<std::size_t>(size) * sizeof(float);
    for (std::int64_t b = 0; b < state.batch; ++b) {
      float* to = x.f32() + b * state.length * size;
      for (const ModuleTensor* t : special_) {
        const std::vector<float> row = values(*t);
        if (static_cast<std::int64_t>(row.size()) != size) throw FormatError(fmt::format("{}: {} values, expected {}", t->full_name, row.size(), size));
        std::memcpy(to, row.data(), row_bytes);
        to += size;
      }
      std::memcpy(to, patches.f32() + b * patches.shape()[1] * size, static_cast<std::size_t>(patches.shape()[1]) * row_bytes);
    }
    if (position_rows_ == nullptr && position_table_ == nullptr) return x;
    Tensor positions({state.length, size});
    if (position_rows_ != nullptr) {
      std::vector<float> rows = values(*position_rows_);
      const std::int64_t stored = static_cast<std::int64_t>(rows.size()) / size - first;
      const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(std::max<std::int64_t>(stored, 0)))));
      const bool other_grid = stored != patches.shape()[1] || image.shape()[2] != image.shape()[3];
      if (resize_ && other_grid && stored > 0 && side * side == stored) {
        const std::vector<float> grid = resized(rows.data() + first * size, side, size, image.shape()[2], image.shape()[3]);
        rows.resize(static_cast<std::size_t>(first * size));
        rows.insert(rows.end(), grid.begin(), grid.end());
      }
      if (static_cast<std::int64_t>(rows.size()) != positions.count()) refuse_size(self, pixels, static_cast<std::int64_t>(rows.size()) / size - first);
      std::memcpy(positions.bytes(), rows.data(), rows.size() * sizeof(float));
    } else {
      const std::int64_t count = position_table_->find_tensor("weight")->meta->shape[0];
      if (count != state.length) refuse_size(self, pixels, count - first);
      Tensor ids({state.length}, DType::int64);
      for (std::int64_t i = 0; i < state.length; ++i) ids.i64()[i] = i;
      positions = (*position_table_)(ids, state);
    }
    for (std::int64_t i = 0; i < x.count(); ++i) x.f32()[i] += positions.f32()[i % positions.count()];
    return x;
  }

 private:
  Tensor padded(const Tensor& pixels) const {
    const Shape& s = pixels.shape();
    const Shape& kernel = patch_->find_tensor("weight")->meta->shape;
    const std::int64_t height = (s[2] + kernel[2] - 1) / kernel[2] * kernel[2], width = (s[3] + kernel[3] - 1) / kernel[3] * kernel[3];
    if (height == s[2] && width == s[3]) return pixels;
    Tensor out = Tensor::zeros({s[0], s[1], height, width});
    for (std::int64_t r = 0; r < s[0] * s[1] * s[2]; ++r) std::copy_n(pixels.f32() + r * s[3], s[3], out.f32() + (r / s[2] * height + r % s[2]) * width);
    return out;
  }

  [[noreturn]] static void refuse_size(const Module& self, const Tensor& pixels, std::int64_t patches) {
    throw UsageError(fmt::format("pixel_values: shape {} does not give the {} patches that '{}' has positions for", to_string(pixels.shape()), patches, self.name()),
                     "resize the image to the config's image_size");
  }

  Module* patch_;
  Module* norm_;
  bool pad_;
  std::vector<ModuleTensor*> special_;
  bool resize_ = false;
  ModuleTensor* position_rows_ = nullptr;
  Module* position_table_ = nullptr;
};

class AttentionPool : public BoundBlock {
 public:
  explicit AttentionPool(Roles& roles)
      : probe_(&roles.need_tensor("probe")), heads_(roles.integer("heads")), norm_(&roles.need_child("norm")), ffn_(&roles.need_child("ffn")) {
    Module* attention = roles.plain_module("attention");
    if (attention == nullptr) roles.refuse("attention", "is missing");
    weight_ = roles.tensor_of(*attention, "in_proj_weight");
    bias_ = roles.tensor_of(*attention, "in_proj_bias");
    out_ = attention->find("out_proj");
    if (weight_ == nullptr || bias_ == nullptr || out_ == nullptr) roles.refuse("attention", "expected in_proj_weight, in_proj_bias and out_proj");
    const Shape& shape = weight_->meta->shape;
    if (shape.size() != 2 || shape[0] != 3 * shape[1] || heads_ <= 0 || shape[1] % heads_ != 0) roles.refuse("heads", fmt::format("{} for a projection {}", heads_, to_string(shape)));
    roles.binder().bind_linear(*out_, false);
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t size = x.width();
    const std::int64_t batch = x.shape()[0];
    const std::int64_t length = x.shape()[1];
    const auto project = [&](const float* in, std::int64_t rows, std::int64_t part) {
      const TensorView w{weight_->view.dtype, {size, size}, weight_->view.data + byte_count(weight_->view.dtype, part * size * size)};
      const TensorView b{bias_->view.dtype, {size}, bias_->view.data + byte_count(bias_->view.dtype, part * size)};
      Tensor out({rows, size});
      ops::linear(state.context(), in, rows, w, &b, out.f32());
      return out;
    };
    const std::vector<float> probe = values(*probe_);
    const Tensor one = project(probe.data(), 1, 0);
    Tensor q({batch, size});
    for (std::int64_t i = 0; i < q.count(); ++i) q.f32()[i] = one.f32()[i % size];
    KeyValueState kv(batch, heads_, size / heads_, size / heads_);
    kv.append(project(x.f32(), batch * length, 1).f32(), project(x.f32(), batch * length, 2).f32(), length);
    ops::AttentionInput in;
    in.q = q.f32();
    in.k = kv.keys();
    in.v = kv.values();
    in.batch = batch;
    in.queries = 1;
    in.keys = length;
    in.capacity = kv.capacity();
    in.heads = in.kv_heads = heads_;
    in.head_dim = in.value_dim = size / heads_;
    ops::AttentionRule rule;
    rule.scale = 1.0F / std::sqrt(static_cast<float>(size / heads_));
    rule.causal = false;
    Tensor mixed({batch, size});
    ops::attention(state.context(), in, rule, mixed.f32());
    const Tensor y = (*out_)(mixed, state);
    Tensor sum = y.clone();
    add_to(sum, (*ffn_)((*norm_)(y, state), state));
    return sum;
  }

 private:
  ModuleTensor* probe_;
  std::int64_t heads_;
  Module* norm_;
  Module* ffn_;
  ModuleTensor* weight_ = nullptr;
  ModuleTensor* bias_ = nullptr;
  Module* out_ = nullptr;
};

class TwoTower : public BoundBlock {
 public:
  explicit TwoTower(Roles& roles)
      : text_(&roles.need_child("text")), vision_(&roles.need_child("vision")), text_projection_(roles.linear("text_projection")),
        vision_projection_(roles.linear("vision_projection")), scale_(&roles.need_tensor("logit_scale")), bias_(roles.tensor("logit_bias")),
        project_outputs_(roles.boolean("project_outputs", true)) {}

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    if (arguments.size() < 2) throw UsageError("inputs: expected input_ids and pixel_values");
    const auto run = [&](Module& tower, const Tensor& in, Module* projection, ForwardState& own, const std::string& prefix) {
      own.cpu = state.cpu;
      own.work = state.work;
      tower(in, own);
      Tensor pooled;
      for (auto& [name, tensor] : own.outputs) {
        if (name == "pooler_output") pooled = projection == nullptr ? tensor : (*projection)(tensor, own);
        if (name == "pooler_output" && project_outputs_) tensor = pooled;
        state.outputs.emplace_back(prefix + name, tensor);
      }
      if (pooled.empty()) throw UnsupportedError(fmt::format("{}: the tower '{}' pools nothing", self.meta().class_name, tower.name()));
      Tensor unit = pooled.clone();
      for (std::int64_t r = 0; r < unit.rows(); ++r) {
        double squares = 0;
        float* row = unit.f32() + r * unit.width();
        for (std::int64_t i = 0; i < unit.width(); ++i) squares += static_cast<double>(row[i]) * row[i];
        for (std::int64_t i = 0; i < unit.width(); ++i) row[i] /= static_cast<float>(std::sqrt(squares));
      }
      return unit;
    };
    state.outputs.clear();
    ForwardState text = state;
    text.outputs.clear();
    const Tensor texts = run(*text_, arguments[0], text_projection_, text, "text_model_output.");
    ForwardState vision;
    const Tensor images = run(*vision_, arguments[1], vision_projection_, vision, "vision_model_output.");
    if (texts.width() != images.width()) throw FormatError(fmt::format("{}: texts of width {} beside images of {}", self.meta().class_name, texts.width(), images.width()));
    const float scale = std::exp(values(*scale_).front());
    const float bias = bias_ == nullptr ? 0.0F : values(*bias_).front();
    Tensor per_text({texts.rows(), images.rows()});
    Tensor per_image({images.rows(), texts.rows()});
    for (std::int64_t t = 0; t < texts.rows(); ++t) {
      for (std::int64_t i = 0; i < images.rows(); ++i) {
        float sum = 0;
        for (std::int64_t k = 0; k < texts.width(); ++k) sum += texts.f32()[t * texts.width() + k] * images.f32()[i * texts.width() + k];
        per_text.f32()[t * images.rows() + i] = per_image.f32()[i * texts.rows() + t] = sum * scale + bias;
      }
    }
    for (auto& [name, tensor] : {std::pair<const char*, const Tensor&>{"logits_per_image", per_image}, {"logits_per_text", per_text}, {"text_embeds", texts}, {"image_embeds", images}}) {
      state.outputs.emplace_back(name, tensor);
    }
    return per_image;
  }

 private:
  Module* text_;
  Module* vision_;
  Module* text_projection_;
  Module* vision_projection_;
  ModuleTensor* scale_;
  ModuleTensor* bias_;
  bool project_outputs_;
};

}  // namespace

Tensor channels_last(const Tensor& image) {
  const Shape& s = image.shape();
  std::int64_t pixels = 1;
  for (std::size_t d = 2; d < s.size(); ++d) pixels *= s[d];
  Tensor out({s[0], pixels, s[1]});
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (std::int64_t c = 0; c < s[1]; ++c) {
      for (std::int64_t p = 0; p < pixels; ++p) out.f32()[(b * pixels + p) * s[1] + c] = image.f32()[(b * s[1] + c) * pixels + p];
    }
  }
  return out;
}

Tensor channels_first(const Tensor& rows, const Shape& image_shape) {
  Tensor out(image_shape);
  const std::int64_t channels = rows.width();
  const std::int64_t pixels = rows.shape()[1];
  for (std::int64_t b = 0; b < rows.shape()[0]; ++b) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      for (std::int64_t c = 0; c < channels; ++c) out.f32()[(b * channels + c) * pixels + p] = rows.f32()[(b * pixels + p) * channels + c];
    }
  }
  return out;
}

std::unique_ptr<BoundBlock> make_vision_embeddings(Roles& roles) { return std::make_unique<VisionEmbeddings>(roles); }
std::unique_ptr<BoundBlock> make_attention_pool(Roles& roles) { return std::make_unique<AttentionPool>(roles); }
std::unique_ptr<BoundBlock> make_two_tower(Roles& roles) { return std::make_unique<TwoTower>(roles); }

}  // namespace bigmodel
