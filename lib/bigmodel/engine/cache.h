// SPDX-License-Identifier: Apache-2.0
// What mixers keep from one call to the next: keys and values, convolution tails, recurrent states.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bigmodel/engine/tensor.h"

namespace bigmodel {

/// The memory of one mixer. Each kind of mixer derives its own.
class MixerState {
 public:
  virtual ~MixerState() = default;
  virtual std::uint64_t size_bytes() const = 0;
  /// Row i becomes what row `rows[i]` was; there may be more or fewer of them afterwards.
  virtual void select(std::span<const std::int64_t> rows) = 0;
  /// How many tokens are to come in all, where that is known; what grows need not grow twice.
  virtual void expect(std::int64_t tokens) { static_cast<void>(tokens); }
};

/// One entry per mixer of the model, made when the mixer first runs.
class Cache {
 public:
  /// The state number `slot`, made by `make` at first.
  template <typename State, typename Make>
  State& state(std::size_t slot, Make&& make) {
    if (slot >= states_.size()) states_.resize(slot + 1);
    if (states_[slot] == nullptr) {
      states_[slot] = std::make_unique<State>(std::forward<Make>(make)());
      states_[slot]->expect(expected_);
    }
    return static_cast<State&>(*states_[slot]);
  }
  bool has(std::size_t slot) const noexcept { return slot < states_.size() && states_[slot] != nullptr; }
  /// Tokens that went through, padding included.
  std::int64_t columns() const noexcept { return columns_; }
  void advance(std::int64_t columns) { columns_ += columns; }
  std::uint64_t size_bytes() const;
  /// MixerState::select of every state: what beams do.
  void select(std::span<const std::int64_t> rows);
  /// Before the first state is made: how many columns there will be at most, 0 where nobody knows.
  void expect(std::int64_t columns) { expected_ = columns; }

 private:
  std::vector<std::unique_ptr<MixerState>> states_;
  std::int64_t expected_ = 0;
  std::int64_t columns_ = 0;
};

/// Keys and values of one attention, [batch, kv_heads, capacity, dim], float32. Has room for what is expected from the start (up to
/// kMostReserved tokens more than there are), else grows by half when full.
class KeyValueState : public MixerState {
 public:
  KeyValueState(std::int64_t batch, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t value_dim)
      : batch_(batch), kv_heads_(kv_heads), head_dim_(head_dim), value_dim_(value_dim) {}

  /// k [batch, count, kv_heads, head_dim] and v go behind what is there.
  void append(const float* k, const float* v, std::int64_t count);

  const float* keys() const { return keys_.f32(); }
  const float* values() const { return values_.f32(); }
  std::int64_t length() const noexcept { return length_; }
  std::int64_t capacity() const noexcept { return capacity_; }
  std::uint64_t size_bytes() const override;
  void select(std::span<const std::int64_t> rows) override;
  void expect(std::int64_t tokens) override { expected_ = tokens; }

  static constexpr std::int64_t kMostReserved = 16384;

 private:
  void grow(std::int64_t wanted);

  std::int64_t batch_, kv_heads_, head_dim_, value_dim_;
  std::int64_t length_ = 0, capacity_ = 0, expected_ = 0;
  Tensor keys_, values_;
};

/// Some float32 tensors [batch, ...], zero at first: convolution tails and recurrent states.
class TensorState : public MixerState {
 public:
  explicit TensorState(std::vector<Shape> shapes) {
    for (Shape& s : shapes) tensors.push_back(Tensor::zeros(std::move(s)));
  }
  std::uint64_t size_bytes() const override;
  void select(std::span<const std::int64_t> rows) override;

  std::vector<Tensor> tensors;
};

}  // namespace bigmodel
