// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/vision_language.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/ops/linear.h"

namespace bigmodel {
namespace {

/// More patches or layers than any model has.
constexpr std::int64_t kMost = 1 << 20;

/// Frames, rows and columns of image `i`.
struct Patches {
  std::int64_t frames, rows, columns;
};
Patches patches(const ForwardState& state, std::int64_t image) {
  const std::int64_t* at = state.image_grid.i64() + 3 * image;
  return {at[0], at[1], at[2]};
}

/// What a tower's pass takes from the pass that it is a part of.
ForwardState tower_state(const ForwardState& state) {
  ForwardState own;
  own.cpu = state.cpu;
  own.work = state.work;
  return own;
}

class VisionLanguage : public BoundBlock {
 public:
  explicit VisionLanguage(Roles& roles)
      : vision_(&roles.need_child("vision")), projector_(roles.child("projector")), text_(&roles.need_child("text")), image_token_(roles.integer("image_token")),
        merge_(roles.integer("merge", 0)) {
    const std::string select = roles.text("select", "full");
    if (select != "full" && select != "default") roles.refuse("select", fmt::format("unknown '{}'", select));
    skip_first_ = select == "default";
    const spec::Value* layer = roles.find("feature_layer");
    if (layer != nullptr && layer->if_list() != nullptr) {
      for (const spec::Value& item : *layer->if_list()) {
        if (item.if_int() == nullptr) roles.refuse("feature_layer", "expected integers");
        feature_layers_.push_back(*item.if_int());
      }
    } else if (layer != nullptr) {
      feature_layers_.push_back(roles.integer("feature_layer"));
    }
    if (merge_ < 0 || merge_ > 64 || (merge_ == 0) == feature_layers_.empty()) roles.refuse("merge", "expected either merge or feature_layer");
  }

  bool only_calls_modules() const override { return true; }
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& ids = arguments.front();
    state.inserted = Tensor();
    state.inserted_at.clear();
    state.axis_positions.clear();
    if (state.past == 0) {
      state.position_delta.clear();
      for (std::int64_t i = 0; i < ids.count(); ++i) {
        if (ids.i64()[i] == image_token_) state.inserted_at.push_back(i);
      }
      // Image tokens without images are words like others, as in the reference.
      if (!state.pixels.empty()) {
        state.inserted = merge_ > 0 ? merged_patches(state) : features(self, state);
        if (state.inserted.rows() != static_cast<std::int64_t>(state.inserted_at.size())) {
          throw UsageError(fmt::format("input 'pixel_values': gives {} rows for {} image tokens", state.inserted.rows(), state.inserted_at.size()),
                           fmt::format("token {} marks a place of an image", image_token_));
        }
        if (merge_ > 0) place_images(ids, state);
      } else {
        state.inserted_at.clear();
      }
    }
    return (*text_)(ids, state);
  }

 private:
  Tensor features(const Module& self, ForwardState& state) const {
    if (state.pixels.shape().size() != 4) throw UsageError(fmt::format("input 'pixel_values': shape {}, expected [images, channels, height, width]", to_string(state.pixels.shape())));
    ForwardState own = tower_state(state);
    std::vector<Tensor> streams;
    own.batch = state.pixels.shape().front();
    own.hidden_states = &streams;
    (*vision_)(state.pixels, own);
    for (Tensor& stream : streams) stream = stream.to(cpu_device());
    const auto layers = static_cast<std::int64_t>(streams.size()) - 1;
    std::vector<const Tensor*> parts;
    std::int64_t width = 0;
    for (const std::int64_t wanted : feature_layers_) {
      const std::int64_t at = wanted < 0 ? wanted + layers + 1 : wanted;
      if (at < 0 || at >= layers) throw UnsupportedError(fmt::format("{}: features of layer {} of {}", self.meta().class_name, wanted, layers));
      parts.push_back(&streams[static_cast<std::size_t>(at)]);
      width += parts.back()->width();
    }
    const std::int64_t first = skip_first_ ? 1 : 0;
    if (own.length <= first) throw UsageError("input 'pixel_values': the tower gives no rows");
    Tensor rows({own.batch, own.length - first, width});
    for (std::int64_t r = 0; r < rows.rows(); ++r) {
      const std::int64_t from = r / (own.length - first) * own.length + r % (own.length - first) + first;
      float* to = rows.f32() + r * width;
      for (const Tensor* part : parts) to = std::copy_n(part->f32() + from * part->width(), part->width(), to);
    }
    return projector_ == nullptr ? rows : (*projector_)(rows, own);
  }

  Tensor merged_patches(ForwardState& state) const {
    ForwardState own = tower_state(state);
    own.image_grid = state.image_grid;
    return (*vision_)(state.pixels, own);
  }

  /// Words count on by one; the places of an image share its first position, plus frame, row and column.
  void place_images(const Tensor& ids, ForwardState& state) const {
    state.axis_positions.assign(3, std::vector<std::int64_t>(static_cast<std::size_t>(ids.count()), 0));
    state.position_delta.assign(static_cast<std::size_t>(state.batch), 0);
    state.longest = 0;
    std::int64_t image = 0;
    for (std::int64_t b = 0; b < state.batch; ++b) {
      std::int64_t next = 0, tokens = 0, largest = -1;
      for (std::int64_t t = 0; t < state.length;) {
        const auto at = static_cast<std::size_t>(b * state.length + t);
        if (!state.is_token(b, t)) {
          ++t;
          continue;
        }
        if (ids.i64()[at] != image_token_) {
          for (auto& axis : state.axis_positions) axis[at] = next;
          largest = next++;
          ++tokens;
          ++t;
          continue;
        }
        if (image >= state.image_grid.rows()) throw UsageError("input 'input_ids': more images than image_grid_thw has");
        const Patches p = patches(state, image++);
        const std::int64_t rows = p.rows / merge_, columns = p.columns / merge_;
        const std::int64_t places = p.frames * rows * columns;
        for (std::int64_t i = 0; i < places; ++i) {
          if (t + i >= state.length || ids.i64()[at + static_cast<std::size_t>(i)] != image_token_) throw UsageError(fmt::format("input 'input_ids': {} places of an image, expected {}", i, places));
          const std::int64_t offsets[] = {i / (rows * columns), i / columns % rows, i % columns};
          for (std::size_t axis = 0; axis < 3; ++axis) {
            state.axis_positions[axis][at + static_cast<std::size_t>(i)] = next + offsets[axis];
            largest = std::max(largest, next + offsets[axis]);
          }
        }
        next += std::max(rows, columns);
        tokens += places;
        t += places;
      }
      state.position_delta[static_cast<std::size_t>(b)] = largest + 1 - tokens;
      state.longest = std::max(state.longest, largest + 1);
    }
  }

  Module* vision_;
  Module* projector_;
  Module* text_;
  std::int64_t image_token_, merge_;
  bool skip_first_ = false;
  std::vector<std::int64_t> feature_layers_;
};

class PatchTower : public BoundBlock {
 public:
  explicit PatchTower(Roles& roles)
      : embed_(&roles.need_child("embed")), layers_(roles.bound_list("layers")), merger_(&roles.need_child("merger")), merge_(roles.integer("merge")) {
    if (merge_ < 1 || merge_ > 64) roles.refuse("merge", fmt::format("{}", merge_));
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& pixels = arguments.front();
    check(pixels, state);
    const std::int64_t joined = merge_ * merge_;
    Tensor rows, out;
    std::int64_t done = 0;
    for (std::int64_t i = 0; i < state.image_grid.rows(); ++i) {
      const Patches p = patches(state, i);
      for (std::int64_t f = 0; f < p.frames; ++f) {
        ForwardState own = tower_state(state);
        own.length = p.rows * p.columns;
        place_tokens(own);
        own.axis_positions = frame_positions(p);
        Tensor frame({own.length, pixels.width()});
        std::memcpy(frame.bytes(), pixels.f32() + done * pixels.width(), static_cast<std::size_t>(frame.count()) * sizeof(float));
        const Tensor seen = run_layers(frame, own);
        const Tensor merged = (*merger_)(seen, own);
        if (merged.rows() != own.length / joined) throw UnsupportedError(fmt::format("{}: its tower merges otherwise than it says", self.meta().class_name));
        if (out.empty()) {
          rows = Tensor({pixels.rows(), seen.width()});
          out = Tensor({pixels.rows() / joined, merged.width()});
        }
        std::memcpy(rows.f32() + done * seen.width(), seen.f32(), static_cast<std::size_t>(seen.count()) * sizeof(float));
        std::memcpy(out.f32() + done / joined * merged.width(), merged.f32(), static_cast<std::size_t>(merged.count()) * sizeof(float));
        done += own.length;
      }
    }
    state.outputs = {{"last_hidden_state", rows}, {"pooler_output", out}};
    return out;
  }

 private:
  void check(const Tensor& pixels, const ForwardState& state) const {
    const Tensor& grid = state.image_grid;
    if (grid.empty() || grid.dtype() != DType::int64 || grid.shape().size() != 2 || grid.width() != 3) throw UsageError("input 'image_grid_thw': is missing, or not int64 [images, 3]");
    if (pixels.shape().size() != 2) throw UsageError(fmt::format("input 'pixel_values': shape {}, expected [patches, values]", to_string(pixels.shape())));
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < grid.rows(); ++i) {
      const Patches p = patches(state, i);
      if (std::min({p.frames, p.rows, p.columns}) < 1 || std::max({p.frames, p.rows, p.columns}) > kMost || p.rows % merge_ != 0 || p.columns % merge_ != 0) {
        throw UsageError(fmt::format("input 'image_grid_thw': {} x {} x {}, expected rows and columns that {} divides", p.frames, p.rows, p.columns, merge_));
      }
      if (p.frames > kMost / p.rows / p.columns) throw UsageError("input 'image_grid_thw': more patches than there are");
      total += p.frames * p.rows * p.columns;
    }
    if (total != pixels.rows()) throw UsageError(fmt::format("input 'pixel_values': {} patches, but image_grid_thw says {}", pixels.rows(), total));
  }

  /// Row and column of every patch, in the order of merged blocks.
  std::vector<std::vector<std::int64_t>> frame_positions(const Patches& p) const {
    std::vector<std::vector<std::int64_t>> out(2);
    for (std::int64_t block = 0; block < p.rows / merge_ * (p.columns / merge_); ++block) {
      for (std::int64_t inner = 0; inner < merge_ * merge_; ++inner) {
        out[0].push_back(block / (p.columns / merge_) * merge_ + inner / merge_);
        out[1].push_back(block % (p.columns / merge_) * merge_ + inner % merge_);
      }
    }
    return out;
  }

  Tensor run_layers(const Tensor& frame, ForwardState& own) const {
    Tensor x = (*embed_)(frame, own);
    x = x.reshaped({own.batch, own.length, x.width()});
    for (Module* layer : layers_) {
      own.work.throw_if_stopped();
      x = (*layer)(x, own);
    }
    return x;
  }

  Module* embed_;
  std::vector<Module*> layers_;
  Module* merger_;
  std::int64_t merge_;
};

class PatchRows : public BoundBlock {
 public:
  explicit PatchRows(Roles& roles) : conv_(roles.plain_module("conv")) {
    weight_ = conv_ == nullptr ? nullptr : roles.tensor_of(*conv_, "weight");
    if (weight_ == nullptr || weight_->meta->shape.size() < 3) roles.refuse("conv", "expected a convolution");
    bias_ = roles.tensor_of(*conv_, "bias");
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t out_width = weight_->meta->shape.front();
    const std::int64_t in = element_count(weight_->meta->shape) / out_width;
    if (x.width() != in) throw UsageError(fmt::format("input 'pixel_values': {} values a patch, '{}' expects {}", x.width(), self.name(), in));
    const TensorView matrix{weight_->view.dtype, {out_width, in}, weight_->view.data};
    Tensor out({x.rows(), out_width});
    ops::linear(state.context(), x.f32(), x.rows(), matrix, bias_ == nullptr ? nullptr : &bias_->view, out.f32());
    return out;
  }

 private:
  Module* conv_;
  ModuleTensor* weight_ = nullptr;
  ModuleTensor* bias_ = nullptr;
};

class PatchMerger : public BoundBlock {
 public:
  explicit PatchMerger(Roles& roles)
      : norm_(&roles.need_child("norm")), up_(&roles.need_linear("up")), down_(&roles.need_linear("down")), act_(roles.activation("act")), merge_(roles.integer("merge")) {
    if (merge_ < 1 || merge_ > 64) roles.refuse("merge", fmt::format("{}", merge_));
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor x = (*norm_)(arguments.front(), state);
    const std::int64_t joined = merge_ * merge_;
    if (x.rows() % joined != 0) throw UsageError(fmt::format("module '{}': {} patches, expected a multiple of {}", self.name(), x.rows(), joined));
    const Tensor h = (*up_)(x.reshaped({x.rows() / joined, x.width() * joined}), state);
    ops::activate(state.context(), act_, h.f32(), h.count());
    return (*down_)(h, state);
  }

 private:
  Module* norm_;
  Module* up_;
  Module* down_;
  ops::Activation act_;
  std::int64_t merge_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_vision_language(Roles& roles) { return std::make_unique<VisionLanguage>(roles); }
std::unique_ptr<BoundBlock> make_patch_tower(Roles& roles) { return std::make_unique<PatchTower>(roles); }
std::unique_ptr<BoundBlock> make_patch_rows(Roles& roles) { return std::make_unique<PatchRows>(roles); }
std::unique_ptr<BoundBlock> make_patch_merger(Roles& roles) { return std::make_unique<PatchMerger>(roles); }

}  // namespace bigmodel
