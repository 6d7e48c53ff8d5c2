// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/cache.h"

#include <algorithm>
#include <cstring>

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

void KeyValueState::grow(std::int64_t wanted) {
  std::int64_t capacity = std::max(wanted, capacity_ + capacity_ / 2);
  if (expected_ >= wanted) capacity = std::min(expected_, std::max(capacity, wanted + kMostReserved));
  const auto moved = [&](const Tensor& old, std::int64_t dim) {
    Tensor out({batch_, kv_heads_, capacity, dim});
    for (std::int64_t h = 0; length_ > 0 && h < batch_ * kv_heads_; ++h) {
      std::memcpy(out.f32() + h * capacity * dim, old.f32() + h * capacity_ * dim, static_cast<std::size_t>(length_ * dim) * sizeof(float));
    }
    return out;
  };
  keys_ = moved(keys_, head_dim_);
  values_ = moved(values_, value_dim_);
  capacity_ = capacity;
}

void KeyValueState::append(const float* k, const float* v, std::int64_t count) {
  if (length_ + count > capacity_) grow(length_ + count);
  const auto put = [&](const float* from, Tensor& to, std::int64_t dim) {
    for (std::int64_t b = 0; b < batch_; ++b) {
      for (std::int64_t n = 0; n < count; ++n) {
        for (std::int64_t h = 0; h < kv_heads_; ++h, from += dim) {
          std::memcpy(to.f32() + ((b * kv_heads_ + h) * capacity_ + length_ + n) * dim, from, static_cast<std::size_t>(dim) * sizeof(float));
        }
      }
    }
  };
  put(k, keys_, head_dim_);
  put(v, values_, value_dim_);
  length_ += count;
}

std::uint64_t KeyValueState::size_bytes() const {
  return static_cast<std::uint64_t>(batch_ * kv_heads_ * capacity_ * (head_dim_ + value_dim_)) * sizeof(float);
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
