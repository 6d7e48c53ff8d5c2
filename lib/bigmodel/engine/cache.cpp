// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/planning/kv_cache.h"

namespace bigmodel {

std::uint64_t Cache::size_bytes() const {
  std::uint64_t out = 0;
  for (const auto& s : states_) out += s == nullptr ? 0 : s->size_bytes();
  return out;
}

void Cache::select(std::span<const std::int64_t> rows) {
  for (const auto& s : states_) {
    if (s != nullptr) s->select(rows);
  }
}

std::int64_t Cache::room() const noexcept {
  std::int64_t out = INT64_MAX;
  for (const auto& s : states_) out = s == nullptr ? out : std::min(out, s->room());
  return out;
}

void Cache::set_length(std::int64_t tokens) {
  for (const auto& s : states_) {
    if (s != nullptr) s->set_length(tokens);
  }
}

std::int64_t KeyReach::first_seen(std::int64_t at) const noexcept {
  std::int64_t out = window > 0 ? std::max<std::int64_t>(at - window + 1, 0) : 0;
  if (chunk > 0) out = std::max(out, at / chunk * chunk);
  return out;
}

void KeyValueState::limit(const KeyReach& reach) {
  BIGMODEL_ASSERT(device_->accelerator() == nullptr);
  reach_ = reach;
  if (reach.chunk > 0) {
    most_ = kept_window_tokens(reach.chunk, true);
  } else if (reach.window > 0) {
    most_ = kept_window_tokens(reach.window, false);
  }
}

void KeyValueState::set_length(std::int64_t tokens) {
  if (!grows_) return;
  if (reach_.first_seen(tokens) < first_key_) {
    throw UsageError(fmt::format("KV cache: cannot go back that far, expected a token that sees none before {}, got {}", first_key_, tokens),
                     "run the sequence again from its start");
  }
  length_ = tokens;
}

void KeyValueState::make_room(std::int64_t count) {
  if (stored() + count > capacity_ && most_ < INT64_MAX) drop(reach_.first_seen(length_));
  if (stored() + count > capacity_) grow(stored() + count);
}

void KeyValueState::trim() {
  if (capacity_ > most_) relocate(most_, reach_.first_seen(length_));
}

void KeyValueState::drop(std::int64_t first) {
  const std::int64_t gone = std::min(first, length_) - first_key_;
  if (gone <= 0) return;
  const auto move = [&](const Tensor& all, std::int64_t dim) {
    const std::int64_t row = byte_count(dtype_, capacity_ * dim);
    for (std::int64_t h = 0; h < batch_ * kv_heads_; ++h) {
      std::byte* to = all.bytes() + h * row;
      std::memmove(to, to + byte_count(dtype_, gone * dim), static_cast<std::size_t>(byte_count(dtype_, (stored() - gone) * dim)));
    }
  };
  move(keys_, head_dim_);
  move(values_, value_dim_);
  first_key_ += gone;
}

void KeyValueState::grow(std::int64_t wanted) {
  std::int64_t capacity = std::max(wanted, capacity_ + capacity_ / 2);
  if (expected_ >= wanted) capacity = std::min(expected_, std::max(capacity, wanted + kMostReserved));
  relocate(std::min(capacity, std::max(wanted, most_)), first_key_);
}

void KeyValueState::relocate(std::int64_t capacity, std::int64_t first) {
  const std::int64_t gone = std::max<std::int64_t>(std::min(first, length_) - first_key_, 0);
  const std::int64_t heads = batch_ * kv_heads_;
  const auto moved = [&](const Tensor& old, std::int64_t dim) {
    Tensor out({batch_, kv_heads_, capacity, dim}, dtype_, *device_);
    if (stored() == gone) return out;
    const std::int64_t row = byte_count(dtype_, capacity * dim);
    const std::int64_t old_row = byte_count(dtype_, capacity_ * dim);
    const std::byte* from = old.bytes() + byte_count(dtype_, gone * dim);
    const auto filled = static_cast<std::size_t>(byte_count(dtype_, (stored() - gone) * dim));
    for (std::int64_t h = 0; h < heads; ++h) {
      if (const Accelerator* gpu = device_->accelerator()) {
        gpu->queue_copy(out.bytes() + h * row, from + h * old_row, filled);
      } else {
        std::memcpy(out.bytes() + h * row, from + h * old_row, filled);
      }
    }
    return out;
  };
  keys_ = moved(keys_, head_dim_);
  values_ = moved(values_, value_dim_);
  capacity_ = capacity;
  first_key_ += gone;
}

void KeyValueState::append(const Tensor& k, const Tensor& v, std::int64_t count, ForwardState& state) {
  make_room(count);
  const OperationsOn on(k, state);
  // Recorded work reads where to put them: later passes put them elsewhere.
  const std::int64_t* past = on.accelerator() != nullptr && length_ == state.past ? state.numbers().past(*on.accelerator(), state) : nullptr;
  const auto place = [&](const Tensor& to, std::int64_t dim) { return ops::CachePlace{to.bytes(), dtype_, batch_, kv_heads_, capacity_, dim, stored(), past}; };
  on->append_to_cache(k.data(), count, place(keys_, head_dim_));
  on->append_to_cache(v.data(), count, place(values_, value_dim_));
  length_ += count;
}

void KeyValueState::append(const float* k, const float* v, std::int64_t count) {
  make_room(count);
  const ops::CpuOps on{CpuContext{}};
  const auto place = [&](const Tensor& to, std::int64_t dim) { return ops::CachePlace{to.bytes(), dtype_, batch_, kv_heads_, capacity_, dim, stored(), nullptr}; };
  on.append_to_cache(k, count, place(keys_, head_dim_));
  on.append_to_cache(v, count, place(values_, value_dim_));
  length_ += count;
}

ops::AttentionInput KeyValueState::input(ForwardState& state) const {
  ops::AttentionInput in;
  in.k = reinterpret_cast<const float*>(keys_.bytes());
  in.v = reinterpret_cast<const float*>(values_.bytes());
  in.batch = batch_;
  in.queries = state.length;
  in.keys = state.recording ? capacity_ : length_;
  in.capacity = capacity_;
  in.kv_heads = kv_heads_;
  in.head_dim = head_dim_;
  in.value_dim = value_dim_;
  in.first_query = length_ - state.length;
  in.first_key = first_key_;
  return in;
}

ops::CacheView KeyValueState::view(ForwardState& state) const {
  const Accelerator* gpu = device_->accelerator();
  return {dtype_, gpu != nullptr && state.recording ? state.numbers().past(*gpu, state) : nullptr};
}

std::uint64_t KeyValueState::size_bytes() const {
  return static_cast<std::uint64_t>(byte_count(dtype_, batch_ * kv_heads_ * capacity_ * (head_dim_ + value_dim_)));
}

void KeyValueState::select(std::span<const std::int64_t> rows) {
  batch_ = static_cast<std::int64_t>(rows.size());
  if (length_ == 0) return;
  keys_ = select_rows(keys_, rows);
  values_ = select_rows(values_, rows);
}

std::uint64_t TensorState::size_bytes() const {
  std::uint64_t out = 0;
  for (const Tensor& t : tensors) out += static_cast<std::uint64_t>(t.count()) * sizeof(float);
  return out;
}

void TensorState::select(std::span<const std::int64_t> rows) {
  for (Tensor& t : tensors) t = select_rows(t, rows);
}

}  // namespace bigmodel
