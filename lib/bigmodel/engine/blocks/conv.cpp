// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/conv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/ops/linear.h"

namespace bigmodel {
namespace {

/// Sizes of up to three dimensions, the missing leading ones being 1.
struct Volume {
  std::int64_t at[3] = {1, 1, 1};
  std::int64_t count() const { return at[0] * at[1] * at[2]; }
};

Volume volume_of(const Shape& shape, std::size_t first) {
  Volume out;
  const std::size_t dims = shape.size() - first;
  for (std::size_t d = 0; d < dims; ++d) out.at[3 - dims + d] = shape[first + d];
  return out;
}

}  // namespace

Tensor ConvBlock::forward(Module& self, const Arguments& arguments, ForwardState& state) {
  const ModuleTensor* bias = self.find_tensor("bias");
  return convolve(arguments.front(), self.find_tensor("weight")->view, bias == nullptr ? nullptr : &bias->view, geometry_, self.name(), state);
}

Tensor convolve(const Tensor& x, const TensorView& weight, const TensorView* bias, const ConvGeometry& geometry, const std::string& name, ForwardState& state) {
  const Shape& w = weight.shape;
  const std::size_t dims = w.size() - 2;
  const std::int64_t groups = geometry.groups;
  const std::int64_t out_each = w[0] / groups;
  const std::int64_t in_each = w[1];
  if (x.shape().size() != w.size() || x.shape()[1] != in_each * groups) {
    throw UsageError(fmt::format("module '{}': input of shape {}, expected {} channels and {} dimensions behind them", name, to_string(x.shape()), in_each * groups, dims));
  }
  const Volume in = volume_of(x.shape(), 2);
  const Volume kernel = volume_of(w, 2);
  Volume stride, padding, out;
  padding.at[0] = padding.at[1] = padding.at[2] = 0;
  for (std::size_t d = 0; d < dims; ++d) {
    stride.at[3 - dims + d] = geometry.stride[d];
    padding.at[3 - dims + d] = geometry.padding[d];
  }
  Shape shape = {x.shape()[0], w[0]};
  for (std::size_t d = 3 - dims; d < 3; ++d) {
    const std::int64_t room = in.at[d] + 2 * padding.at[d] - kernel.at[d];
    if (room < 0) throw UsageError(fmt::format("module '{}': input of shape {} is smaller than the kernel {}", name, to_string(x.shape()), to_string(w)));
    out.at[d] = room / stride.at[d] + 1;
    shape.push_back(out.at[d]);
  }
  Tensor y(std::move(shape));
  const std::int64_t pixels = out.count();
  const std::int64_t column = in_each * kernel.count();
  TensorView matrix{weight.dtype, {out_each, column}, nullptr};
  TensorView bias_part;
  // A block of output pixels at a time: each becomes a row of the values under the kernel, and the kernel a matrix.
  const std::int64_t block = std::clamp<std::int64_t>((std::int64_t{1} << 20) / std::max<std::int64_t>(column, 1), 1, pixels);
  Tensor rows({block, column});
  Tensor product({block, out_each});
  for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
    for (std::int64_t g = 0; g < groups; ++g) {
      matrix.data = weight.data + byte_count(matrix.dtype, g * out_each * column);
      if (bias != nullptr) bias_part = {bias->dtype, {out_each}, bias->data + byte_count(bias->dtype, g * out_each)};
      const float* from = x.f32() + (n * groups + g) * in_each * in.count();
      float* to = y.f32() + (n * groups + g) * out_each * pixels;
      for (std::int64_t first = 0; first < pixels; first += block) {
        state.work.throw_if_stopped();
        const std::int64_t count = std::min(block, pixels - first);
        for (std::int64_t p = 0; p < count; ++p) {
          const std::int64_t at = first + p;
          const std::int64_t corner[3] = {at / (out.at[1] * out.at[2]) * stride.at[0] - padding.at[0], at / out.at[2] % out.at[1] * stride.at[1] - padding.at[1],
                                          at % out.at[2] * stride.at[2] - padding.at[2]};
          float* row = rows.f32() + p * column;
          for (std::int64_t c = 0; c < in_each; ++c) {
            for (std::int64_t a = 0; a < kernel.at[0]; ++a) {
              for (std::int64_t b = 0; b < kernel.at[1]; ++b) {
                for (std::int64_t d = 0; d < kernel.at[2]; ++d) {
                  const std::int64_t i = corner[0] + a, j = corner[1] + b, k = corner[2] + d;
                  const bool inside = i >= 0 && i < in.at[0] && j >= 0 && j < in.at[1] && k >= 0 && k < in.at[2];
                  *row++ = inside ? from[((c * in.at[0] + i) * in.at[1] + j) * in.at[2] + k] : 0.0F;
                }
              }
            }
          }
        }
        ops::linear(state.context(), rows.f32(), count, matrix, bias == nullptr ? nullptr : &bias_part, product.f32());
        for (std::int64_t p = 0; p < count; ++p) {
          for (std::int64_t o = 0; o < out_each; ++o) to[o * pixels + first + p] = product.f32()[p * out_each + o];
        }
      }
    }
  }
  return y;
}

}  // namespace bigmodel
