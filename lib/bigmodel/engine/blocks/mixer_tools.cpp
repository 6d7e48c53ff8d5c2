// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/mixer_tools.h"

#include <cmath>
#include <cstring>

#include "bigmodel/ops/widen.h"

namespace bigmodel {

Tensor columns(const Tensor& x, std::int64_t from, std::int64_t width) {
  Shape shape = x.shape();
  shape.back() = width;
  Tensor out(std::move(shape));
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    std::memcpy(out.f32() + r * width, x.f32() + r * x.width() + from, static_cast<std::size_t>(width) * sizeof(float));
  }
  return out;
}

std::vector<float> values(const ModuleTensor& tensor) {
  const std::int64_t count = element_count(tensor.meta->shape);
  std::vector<float> out(static_cast<std::size_t>(count));
  ops::widen(tensor.view, 0, count, out.data());
  return out;
}

void clear_padding(const Tensor& x, const ForwardState& state) {
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    if (!state.is_token(r / state.length, state.past + r % state.length)) std::memset(x.f32() + r * x.width(), 0, static_cast<std::size_t>(x.width()) * sizeof(float));
  }
}

float softplus(float x) { return x > 20.0F ? x : std::log1p(std::exp(x)); }

KeptState::KeptState(ForwardState& state, std::size_t slot, std::vector<Shape> shapes) : fresh_(state.cache == nullptr || !state.cache->has(slot)) {
  Cache& cache = state.cache == nullptr ? local_ : *state.cache;
  tensors_ = &cache.state<TensorState>(slot, [&] { return TensorState(std::move(shapes)); }).tensors;
}

}  // namespace bigmodel
