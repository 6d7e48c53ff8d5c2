// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/mixer_tools.h"

#include <cmath>
#include <cstring>

#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel {

Tensor columns(const Tensor& x, std::int64_t from, std::int64_t width) {
  Shape shape = x.shape();
  shape.back() = width;
  Tensor out = beside(x, std::move(shape));
  ops::CopyShape rows{.inner = x.rows(), .width = width};
  rows.from_inner = x.width();
  rows.to_inner = width;
  OperationsOn(x, {})->copy(x.data() + from, out.data(), rows);
  return out;
}

namespace {

/// Token `at` of every row.
Tensor tokens(const Tensor& x, std::int64_t at, const ForwardState& state) {
  Tensor out = beside(x, {state.batch, x.width()});
  ops::CopyShape rows{.inner = state.batch, .width = x.width()};
  rows.from_inner = state.length * x.width();
  rows.to_inner = x.width();
  OperationsOn(x, state)->copy(x.data() + at * x.width(), out.data(), rows);
  return out;
}

}  // namespace

Tensor first_tokens(const Tensor& x, const ForwardState& state) { return tokens(x, 0, state); }
Tensor last_tokens(const Tensor& x, const ForwardState& state) { return tokens(x, state.length - 1, state).reshaped({state.batch, 1, x.width()}); }

std::vector<float> values(const ModuleTensor& tensor) {
  const std::int64_t count = element_count(tensor.meta->shape);
  std::vector<float> out(static_cast<std::size_t>(count));
  ops::widen(tensor.view, 0, count, out.data());
  return out;
}

void clear_padding(const Tensor& x, ForwardState& state) {
  if (state.valid.empty()) return;
  if (const Accelerator* gpu = x.device().accelerator()) {
    state.repeatable = false;
    return gpu->operations().clear_rows(x.data(), state.numbers().valid_rows(*gpu, state), x.rows(), x.width());
  }
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    if (!state.is_token(r / state.length, state.past + r % state.length)) std::memset(x.f32() + r * x.width(), 0, static_cast<std::size_t>(x.width()) * sizeof(float));
  }
}

float softplus(float x) { return x > 20.0F ? x : std::log1p(std::exp(x)); }

KeptState::KeptState(const Tensor& x, ForwardState& state, std::size_t slot, std::vector<Shape> shapes) : fresh_(state.cache == nullptr || !state.cache->has(slot)) {
  Cache& cache = state.cache == nullptr ? local_ : *state.cache;
  tensors_ = &cache.state<TensorState>(slot, [&] { return TensorState(std::move(shapes), x.device().accelerator() != nullptr ? x.device() : cpu_device()); }).tensors;
}

KeptKeys::KeptKeys(const Tensor& x, ForwardState& state, std::size_t slot, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t value_dim, const KeyReach& reach) {
  Cache& cache = state.cache == nullptr ? local_ : *state.cache;
  fresh_ = !cache.has(slot);
  keys_ = &cache.state<KeyValueState>(slot, [&] {
    const bool gpu = x.device().accelerator() != nullptr;
    KeyValueState out(state.batch, kv_heads, head_dim, value_dim, gpu ? x.device() : cpu_device(), gpu ? state.accelerator_cache : state.processor_cache);
    // Passing ones go as a whole in a moment.
    if (!gpu && state.cache != nullptr) out.limit(reach);
    return out;
  });
}

const std::uint8_t* valid_keys(const Tensor& x, ForwardState& state) {
  if (const Accelerator* gpu = x.device().accelerator()) return state.numbers().valid(*gpu, state);
  return state.valid.empty() ? nullptr : state.valid.data();
}

const std::uint8_t* valid_memory_keys(const Tensor& x, ForwardState& state) {
  if (const Accelerator* gpu = x.device().accelerator()) return state.numbers().memory_valid(*gpu, state);
  return state.memory_valid.empty() ? nullptr : state.memory_valid.data();
}

}  // namespace bigmodel
