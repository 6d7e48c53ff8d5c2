// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generation/decoding.h"

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/ops/device_ops.h"

namespace bigmodel {
namespace {

/// Rows of `width` values, those named.
template <typename T>
std::vector<T> selected(const std::vector<T>& values, std::int64_t width, std::span<const std::int64_t> rows) {
  std::vector<T> out;
  if (values.empty()) return out;
  out.reserve(rows.size() * static_cast<std::size_t>(width));
  for (const std::int64_t r : rows) out.insert(out.end(), values.begin() + r * width, values.begin() + (r + 1) * width);
  return out;
}

/// Every row of `width` values with one more behind it.
template <typename T, typename Next>
std::vector<T> appended(const std::vector<T>& values, std::int64_t width, std::int64_t rows, Next next) {
  std::vector<T> out;
  out.reserve(values.size() + static_cast<std::size_t>(rows));
  for (std::int64_t r = 0; r < rows; ++r) {
    out.insert(out.end(), values.begin() + r * width, values.begin() + (r + 1) * width);
    out.push_back(next(r));
  }
  return out;
}

}  // namespace

Decoding::Decoding(LoadedModel& model, const TokenBatch& prompt, std::int64_t new_tokens, bool use_cache, const WorkContext& work, DType cache_dtype)
    : model_(model), ids_(prompt.ids), encoder_input_(prompt.encoder_input) {
  cache_.expect(prompt.length + std::min(new_tokens, INT64_MAX - prompt.length));
  state_.batch = prompt.rows;
  state_.length = prompt.length;
  state_.valid = prompt.valid;
  state_.cache = use_cache ? &cache_ : nullptr;
  state_.processor_cache = cache_dtype;
  state_.work = work;
  state_.memory_valid = prompt.encoder_valid;
  state_.pixels = prompt.pixels;
  state_.image_grid = prompt.image_grid;
}

Tensor Decoding::run_prompt(bool all_logits) {
  state_.last_only = !all_logits;
  place_tokens(state_);
  Tensor logits = model_.forward({Tensor::of_ids({state_.batch, state_.length}, ids_), encoder_input_}, state_);
  cache_.advance(state_.length);
  state_.last_only = true;
  return logits;
}

void Decoding::begin_step(std::span<const std::int64_t> next) {
  if (!state_.valid.empty()) state_.valid = appended(state_.valid, state_.columns(), state_.batch, [](std::int64_t) { return std::uint8_t{1}; });
  if (state_.cache != nullptr) {
    state_.past = cache_.columns();
    state_.length = 1;
  } else {
    ids_ = appended(ids_, state_.length, state_.batch, [&](std::int64_t r) { return next[static_cast<std::size_t>(r)]; });
    ++state_.length;
  }
  place_tokens(state_);
}

Tensor Decoding::step(std::span<const std::int64_t> next) {
  begin_step(next);
  Tensor logits;
  if (chooses_on_device()) {
    step_on(*model_.only_accelerator(), next);
    logits = device_logits_.to(cpu_device());
  } else {
    logits = model_.forward(Tensor::of_ids({state_.batch, state_.length}, state_.cache != nullptr ? next : ids_), state_);
  }
  cache_.advance(1);
  return logits;
}

std::vector<std::int64_t> Decoding::step_largest(std::span<const std::int64_t> next) {
  BIGMODEL_ASSERT(chooses_on_device());
  const Accelerator& device = *model_.only_accelerator();
  begin_step(next);
  step_on(device, next);
  cache_.advance(1);
  if (device_largest_.empty() || device_largest_.count() != state_.batch) device_largest_ = Tensor({state_.batch}, DType::int64, device);
  device.operations().argmax(device_logits_.data(), state_.batch, device_logits_.width(), device_largest_.ids());
  std::vector<std::int64_t> out(static_cast<std::size_t>(state_.batch));
  device.copy_out(device_largest_.bytes(), std::as_writable_bytes(std::span(out)));
  return out;
}

void Decoding::step_on(const Accelerator& device, std::span<const std::int64_t> next) {
  state_.ids_are_chosen = true;
  if (device_ids_.empty() || device_ids_.rows() != state_.batch) device_ids_ = Tensor({state_.batch, 1}, DType::int64, device);
  device.queue_small_copy_in(device_ids_.bytes(), std::as_bytes(next));
  if (recorded_ != nullptr && cache_.room() < 1) recorded_ = nullptr;
  if (recorded_ == nullptr && repeatable_ && cache_.room() >= 1) {
    state_.numbers().update(device, state_);
    state_.recording = true;
    recorded_ = device.record_work([this] { device_logits_ = model_.forward(device_ids_, state_); });
    state_.recording = false;
    // Recording runs nothing, but what the processor counts went on.
    cache_.set_length(state_.past);
    repeatable_ = recorded_ != nullptr && state_.repeatable;
    if (!repeatable_) recorded_ = nullptr;
    if (recorded_ == nullptr) device_logits_ = model_.forward(device_ids_, state_);
  } else if (recorded_ == nullptr) {
    state_.repeatable = true;
    device_logits_ = model_.forward(device_ids_, state_);
    repeatable_ = state_.repeatable;
  }
  if (recorded_ != nullptr) {
    state_.numbers().update(device, state_);
    recorded_->launch();
    cache_.set_length(state_.past + 1);
  }
}

void Decoding::select(std::span<const std::int64_t> rows) {
  recorded_ = nullptr;
  cache_.select(rows);
  state_.valid = selected(state_.valid, state_.columns(), rows);
  state_.position_delta = selected(state_.position_delta, 1, rows);
  if (state_.cache == nullptr) ids_ = selected(ids_, state_.length, rows);
  if (!state_.memory.empty()) {
    state_.memory_valid = selected(state_.memory_valid, static_cast<std::int64_t>(state_.memory_valid.size()) / state_.batch, rows);
    Shape shape = state_.memory.shape();
    shape.front() = shape.front() / state_.batch * static_cast<std::int64_t>(rows.size());
    state_.memory = select_rows(state_.memory.reshaped({state_.batch, state_.memory.count() / state_.batch}), rows).reshaped(std::move(shape));
  }
  state_.batch = static_cast<std::int64_t>(rows.size());
}

}  // namespace bigmodel
