// SPDX-License-Identifier: Apache-2.0
// What mixers keep from one call to the next: keys and values, convolution tails, recurrent states.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bigmodel/engine/forward_state.h"
#include "bigmodel/engine/tensor.h"
#include "bigmodel/ops/device_ops.h"

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
  /// How many more tokens fit without another piece of memory.
  virtual std::int64_t room() const noexcept { return INT64_MAX; }
  /// Of what grows with every token: so many of them are in its memory now, whoever put them there.
  virtual void set_length(std::int64_t tokens) { static_cast<void>(tokens); }
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
  /// The least of MixerState::room.
  std::int64_t room() const noexcept;
  /// MixerState::set_length of every state.
  void set_length(std::int64_t tokens);

 private:
  std::vector<std::unique_ptr<MixerState>> states_;
  std::int64_t expected_ = 0;
  std::int64_t columns_ = 0;
};

/// How far back queries of a causal attention look. Both 0: to the first key.
struct KeyReach {
  std::int64_t window = 0;   ///< > 0: keys at least that far behind the query are not seen (the query's own counts)
  std::int64_t chunk = 0;    ///< > 0: only keys of the query's own chunk of so many

  /// The first key that query number `at` sees; later queries see no earlier one.
  std::int64_t first_seen(std::int64_t at) const noexcept;
};

/// Keys and values of one attention, [batch, kv_heads, capacity, dim], in RAM or on an accelerator. Has room for what is expected
/// from the start (up to kMostReserved tokens more than there are), else grows by half when full. With a reach it keeps what later queries
/// see: room for kept_window_tokens (planning/kv_cache.h), and more only while a pass needs it.
class KeyValueState : public MixerState {
 public:
  /// `dtype`: float32, bfloat16 or float16.
  KeyValueState(std::int64_t batch, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t value_dim, const Device& device = cpu_device(), DType dtype = DType::float32)
      : batch_(batch), kv_heads_(kv_heads), head_dim_(head_dim), value_dim_(value_dim), device_(&device), dtype_(dtype) {}

  /// k [batch, count, kv_heads, head_dim] and v go behind what is there; they lie on the cache's device.
  void append(const Tensor& k, const Tensor& v, std::int64_t count, ForwardState& state);
  /// The same for rows in RAM.
  void append(const float* k, const float* v, std::int64_t count);
  const float* keys() const { return keys_.f32(); }
  const float* values() const { return values_.f32(); }
  /// From now on, keys that no later query sees may go. Only for caches in RAM: recorded work counts on every token.
  void limit(const KeyReach& reach);
  /// After the attention of a pass that needed more keys than the next one does: gives their memory back.
  void trim();
  /// The number of the first token that is still stored.
  std::int64_t first_key() const noexcept { return first_key_; }
  /// Nothing will be appended any more: what an encoder gave.
  void finish() noexcept { grows_ = false; }

  /// Where keys and values lie, and how many there are, as operations want it. Queries and heads are left for the caller.
  ops::AttentionInput input(ForwardState& state) const;
  ops::CacheView view(ForwardState& state) const;

  DType dtype() const noexcept { return dtype_; }
  /// Tokens so far, those included that are not stored any more.
  std::int64_t length() const noexcept { return length_; }
  std::int64_t capacity() const noexcept { return capacity_; }
  std::uint64_t size_bytes() const override;
  void select(std::span<const std::int64_t> rows) override;
  void expect(std::int64_t tokens) override { expected_ = tokens; }
  std::int64_t room() const noexcept override { return grows_ ? capacity_ - stored() : INT64_MAX; }
  /// Throws UsageError where the next query would see keys that are gone.
  void set_length(std::int64_t tokens) override;

  static constexpr std::int64_t kMostReserved = 16384;

 private:
  std::int64_t stored() const noexcept { return length_ - first_key_; }
  void make_room(std::int64_t count);
  void grow(std::int64_t wanted);
  /// Other memory with room for `capacity` tokens; the stored ones from number `first` on go along.
  void relocate(std::int64_t capacity, std::int64_t first);
  /// The stored ones from number `first` on move to the front.
  void drop(std::int64_t first);

  std::int64_t batch_, kv_heads_, head_dim_, value_dim_;
  const Device* device_;
  DType dtype_;
  std::int64_t length_ = 0, capacity_ = 0, expected_ = 0;
  std::int64_t first_key_ = 0;
  KeyReach reach_;
  std::int64_t most_ = INT64_MAX;   ///< for how many tokens there is room between passes
  bool grows_ = true;
  Tensor keys_, values_;
};

/// Some float32 tensors [batch, ...], zero at first: convolution tails and recurrent states.
class TensorState : public MixerState {
 public:
  explicit TensorState(std::vector<Shape> shapes, const Device& device = cpu_device()) {
    for (Shape& s : shapes) tensors.push_back(Tensor::zeros(std::move(s), device));
  }
  std::uint64_t size_bytes() const override;
  void select(std::span<const std::int64_t> rows) override;

  std::vector<Tensor> tensors;
};

}  // namespace bigmodel
