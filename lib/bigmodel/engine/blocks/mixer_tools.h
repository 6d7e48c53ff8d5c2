// SPDX-License-Identifier: Apache-2.0
// What several mixers need: columns of a projection, small weights as floats, a state in the cache or a passing one.
#pragma once

#include <vector>

#include "bigmodel/engine/cache.h"
#include "bigmodel/engine/module.h"

namespace bigmodel {

/// The columns [from, from + width) of every row.
Tensor columns(const Tensor& x, std::int64_t from, std::int64_t width);

/// Of x [batch, length, size] the first and the last token of every row, [batch, size] and [batch, 1, size].
Tensor first_tokens(const Tensor& x, const ForwardState& state);
Tensor last_tokens(const Tensor& x, const ForwardState& state);

/// All elements of a weight in RAM, widened.
std::vector<float> values(const ModuleTensor& tensor);

/// Zeroes the rows of x [batch, length, size] that are padding.
void clear_padding(const Tensor& x, ForwardState& state);

/// log(1 + e^x), as PyTorch computes it.
float softplus(float x);

/// The state of a mixer in the cache, or a fresh one that goes with this object where there is no cache.
class KeptState {
 public:
  /// On the device of `x`.
  KeptState(const Tensor& x, ForwardState& state, std::size_t slot, std::vector<Shape> shapes);

  bool fresh() const noexcept { return fresh_; }   ///< nothing was there before this call
  const Tensor& operator[](std::size_t i) const { return (*tensors_)[i]; }

 private:
  Cache local_;
  bool fresh_;
  std::vector<Tensor>* tensors_;
};

/// The keys and values of an attention in the cache, or passing ones that go with this object where there is no cache.
class KeptKeys {
 public:
  /// On the device of `x`, in the dtype of caches there. A cache in RAM forgets what is out of `reach`.
  KeptKeys(const Tensor& x, ForwardState& state, std::size_t slot, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t value_dim, const KeyReach& reach = {});

  bool fresh() const noexcept { return fresh_; }   ///< nothing was there before this call
  KeyValueState& operator*() const noexcept { return *keys_; }
  KeyValueState* operator->() const noexcept { return keys_; }

 private:
  Cache local_;
  bool fresh_;
  KeyValueState* keys_;
};

/// Which columns are tokens and not padding, and which of the encoder's, where an attention on x's device reads it; null: all of them.
const std::uint8_t* valid_keys(const Tensor& x, ForwardState& state);
const std::uint8_t* valid_memory_keys(const Tensor& x, ForwardState& state);

}  // namespace bigmodel
