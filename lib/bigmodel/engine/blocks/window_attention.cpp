// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/window_attention.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/ops/attention.h"

namespace bigmodel {
namespace {

class WindowAttention : public BoundBlock {
 public:
  explicit WindowAttention(Roles& roles)
      : q_(&roles.need_linear("q")), k_(&roles.need_linear("k")), v_(&roles.need_linear("v")), out_(&roles.need_linear("out")), heads_(roles.integer("heads")),
        shift_(roles.integer("shift", 0)), table_(&roles.need_tensor("bias_table")), width_(linear_out_width(*q_)) {
    const spec::Value* window = roles.find("window");
    const auto* sides = window == nullptr ? nullptr : window->if_list();
    if (sides == nullptr || sides->size() != 2 || (*sides)[0].if_int() == nullptr || (*sides)[1].if_int() == nullptr || *(*sides)[0].if_int() != *(*sides)[1].if_int()) {
      roles.refuse("window", "expected two equal sides");
    }
    window_ = *(*sides)[0].if_int();
    if (window_ < 1 || window_ > 1024 || shift_ < 0 || shift_ >= window_) roles.refuse("window", fmt::format("{} turned by {}", window_, shift_));
    if (heads_ < 1 || width_ % heads_ != 0 || linear_out_width(*k_) != width_ || linear_out_width(*v_) != width_) roles.refuse("heads", fmt::format("{} of rows of {}", heads_, width_));
    if (table_->meta->shape != Shape{(2 * window_ - 1) * (2 * window_ - 1), heads_}) roles.refuse("bias_table", fmt::format("shape {}", to_string(table_->meta->shape)));
  }

  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const std::int64_t height = state.grid_height, width = state.grid_width;
    if (height * width != state.length || state.length == 0) throw UnsupportedError(fmt::format("module '{}': windows of rows that are no grid", self.name()));
    const std::int64_t least = std::min(height, width);
    if (least < window_) {
      throw UsageError(fmt::format("module '{}': a grid of {} x {} is smaller than its window of {}", self.name(), height, width, window_), "use a larger image");
    }
    Grid grid{height, width, (height + window_ - 1) / window_, (width + window_ - 1) / window_, least == window_ ? 0 : shift_};
    const std::int64_t area = window_ * window_;
    const std::int64_t windows = grid.down * grid.across;
    // Every place of a window: the row of x that stands there, or -1 for filling.
    std::vector<std::int64_t> from(static_cast<std::size_t>(windows * area));
    for (std::int64_t w = 0; w < windows; ++w) {
      for (std::int64_t p = 0; p < area; ++p) from[static_cast<std::size_t>(w * area + p)] = source(grid, w, p);
    }
    const auto row_bytes = static_cast<std::size_t>(x.width()) * sizeof(float);
    Tensor cut = Tensor::zeros({state.batch * windows, area, x.width()});
    for (std::int64_t b = 0; b < state.batch; ++b) {
      for (std::int64_t i = 0; i < windows * area; ++i) {
        const std::int64_t row = from[static_cast<std::size_t>(i)];
        if (row >= 0) std::memcpy(cut.f32() + (b * windows * area + i) * x.width(), x.f32() + (b * state.length + row) * x.width(), row_bytes);
      }
    }
    const Tensor mixed = attend(cut, grid, windows, state);
    const Tensor y = (*out_)(mixed, state);
    Tensor out({state.batch, state.length, y.width()});
    for (std::int64_t b = 0; b < state.batch; ++b) {
      for (std::int64_t i = 0; i < windows * area; ++i) {
        const std::int64_t row = from[static_cast<std::size_t>(i)];
        if (row >= 0) std::memcpy(out.f32() + (b * state.length + row) * y.width(), y.f32() + (b * windows * area + i) * y.width(), static_cast<std::size_t>(y.width()) * sizeof(float));
      }
    }
    return out;
  }

 private:
  struct Grid {
    std::int64_t height, width, down, across, shift;
  };

  std::int64_t source(const Grid& g, std::int64_t window, std::int64_t place) const {
    const std::int64_t i = (window / g.across * window_ + place / window_ + g.shift) % (g.down * window_);
    const std::int64_t j = (window % g.across * window_ + place % window_ + g.shift) % (g.across * window_);
    return i < g.height && j < g.width ? i * g.width + j : -1;
  }

  /// Which part of the turned grid a line belongs to: places of different parts came from different edges.
  std::int64_t part(std::int64_t line, std::int64_t lines, std::int64_t shift) const { return (line >= lines - window_ ? 1 : 0) + (line >= lines - shift ? 1 : 0); }

  Tensor attend(const Tensor& cut, const Grid& grid, std::int64_t windows, ForwardState& state) const {
    const Tensor q = (*q_)(cut, state), k = (*k_)(cut, state), v = (*v_)(cut, state);
    const std::int64_t area = window_ * window_;
    const std::int64_t dim = width_ / heads_;
    const std::vector<float> table = values(*table_);
    std::vector<float> bias(static_cast<std::size_t>(heads_ * area * area));
    for (std::int64_t a = 0; a < area; ++a) {
      for (std::int64_t b = 0; b < area; ++b) {
        const std::int64_t row = (a / window_ - b / window_ + window_ - 1) * (2 * window_ - 1) + a % window_ - b % window_ + window_ - 1;
        for (std::int64_t h = 0; h < heads_; ++h) bias[static_cast<std::size_t>((h * area + a) * area + b)] = table[static_cast<std::size_t>(row * heads_ + h)];
      }
    }
    KeyValueState kv(state.batch * windows, heads_, dim, dim);
    kv.append(k.f32(), v.f32(), area);
    Tensor mixed({cut.shape()[0], area, width_});
    ops::AttentionInput in;
    in.queries = in.keys = area;
    in.capacity = kv.capacity();
    in.heads = in.kv_heads = heads_;
    in.head_dim = in.value_dim = dim;
    ops::AttentionRule rule;
    rule.scale = 1.0F / std::sqrt(static_cast<float>(dim));
    rule.causal = false;
    // Without a turn all windows are alike; otherwise the windows at two edges hold strangers.
    const bool alike = grid.shift == 0;
    in.batch = alike ? state.batch * windows : 1;
    std::vector<float> masked;
    for (std::int64_t n = 0; n < (alike ? 1 : state.batch * windows); ++n) {
      in.q = q.f32() + n * area * width_;
      in.k = kv.keys() + n * heads_ * kv.capacity() * dim;
      in.v = kv.values() + n * heads_ * kv.capacity() * dim;
      rule.bias = bias.data();
      if (!alike) {
        masked = bias;
        mask(masked, grid, n % windows);
        rule.bias = masked.data();
      }
      ops::attention(state.context(), in, rule, mixed.f32() + n * area * width_);
    }
    return mixed;
  }

  void mask(std::vector<float>& bias, const Grid& grid, std::int64_t window) const {
    const std::int64_t area = window_ * window_;
    std::vector<std::int64_t> parts;
    for (std::int64_t p = 0; p < area; ++p) {
      parts.push_back(3 * part(window / grid.across * window_ + p / window_, grid.down * window_, grid.shift) +
                      part(window % grid.across * window_ + p % window_, grid.across * window_, grid.shift));
    }
    for (std::int64_t h = 0; h < heads_; ++h) {
      for (std::int64_t a = 0; a < area; ++a) {
        for (std::int64_t b = 0; b < area; ++b) {
          if (parts[static_cast<std::size_t>(a)] != parts[static_cast<std::size_t>(b)]) bias[static_cast<std::size_t>((h * area + a) * area + b)] -= 100.0F;
        }
      }
    }
  }

  Module* q_;
  Module* k_;
  Module* v_;
  Module* out_;
  std::int64_t heads_, shift_;
  ModuleTensor* table_;
  std::int64_t width_, window_ = 0;
};

class WindowStage : public BoundBlock {
 public:
  explicit WindowStage(Roles& roles) : layers_(roles.bound_list("layers")), join_(roles.linear("join")), join_norm_(roles.child("join_norm")) {
    if ((join_ == nullptr) != (join_norm_ == nullptr)) roles.refuse("join", "expected a norm and a matrix");
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    Tensor x = arguments.front();
    for (Module* layer : layers_) {
      state.work.throw_if_stopped();
      x = (*layer)(x, state);
    }
    if (join_ == nullptr) return x;
    const std::int64_t height = (state.grid_height + 1) / 2, width = (state.grid_width + 1) / 2;
    Tensor joined = Tensor::zeros({state.batch, height * width, 4 * x.width()});
    for (std::int64_t b = 0; b < state.batch; ++b) {
      for (std::int64_t i = 0; i < state.grid_height; ++i) {
        for (std::int64_t j = 0; j < state.grid_width; ++j) {
          float* to = joined.f32() + ((b * height + i / 2) * width + j / 2) * joined.width() + (j % 2 * 2 + i % 2) * x.width();
          std::memcpy(to, x.f32() + (b * state.length + i * state.grid_width + j) * x.width(), static_cast<std::size_t>(x.width()) * sizeof(float));
        }
      }
    }
    state.grid_height = height;
    state.grid_width = width;
    state.length = height * width;
    return (*join_)((*join_norm_)(joined, state), state);
  }

 private:
  std::vector<Module*> layers_;
  Module* join_;
  Module* join_norm_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_window_attention(Roles& roles) { return std::make_unique<WindowAttention>(roles); }
std::unique_ptr<BoundBlock> make_window_stage(Roles& roles) { return std::make_unique<WindowStage>(roles); }

}  // namespace bigmodel
