// SPDX-License-Identifier: Apache-2.0
// What a forward pass carries besides its tensors: the cache, positions, padding, and what blocks leave for later ones.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/core/progress.h"
#include "bigmodel/device/cpu/cpu_context.h"
#include "bigmodel/engine/tensor.h"

namespace bigmodel {

class Cache;

/// One call of a model; one thread. Rows of every activation are ordered [batch, length].
struct ForwardState {
  std::int64_t batch = 1;
  std::int64_t length = 0;                ///< tokens of this call, padding included
  std::int64_t past = 0;                  ///< columns that the cache holds already
  Cache* cache = nullptr;                 ///< what mixers keep between calls; null: nothing is kept
  std::vector<std::int64_t> positions;    ///< [batch * length], as position ids of the reference
  std::vector<std::uint8_t> valid;        ///< [batch, past + length], 0 for padding; empty: no padding
  std::int64_t longest = 0;               ///< 1 + the largest position of the whole batch (dynamic and longrope look at it)
  bool last_only = false;                 ///< heads compute the last position alone
  Tensor embeddings;                      ///< the decoder's input rows (shared blocks of zamba2 read them again)
  Tensor memory;                          ///< what an encoder gave, [batch, encoder length, size]; cross-attention reads it
  std::vector<std::uint8_t> memory_valid; ///< [batch, encoder length], 0 for padding; empty: no padding
  std::vector<float> relative_bias;       ///< [heads, length, columns], of the first layer, for the stack's other layers
  Tensor token_types;                     ///< int64 [batch, length], token_type_ids; empty: all 0
  std::vector<std::pair<std::string, Tensor>> outputs;   ///< what encoders and heads give, under the reference's names
  std::vector<Tensor>* hidden_states = nullptr;  ///< where given: the stream before every layer, then the final one
  const CpuContext* cpu = nullptr;       ///< what operations run on; null: the calling thread (LoadedModel::forward fills it in)
  WorkContext work;

  /// `cpu`, or the calling thread alone.
  const CpuContext& context() const noexcept {
    static const CpuContext kAlone;
    return cpu == nullptr ? kAlone : *cpu;
  }
  std::int64_t columns() const noexcept { return past + length; }
  /// Whether column `c` of row `b` is a token and not padding; c counts from the start of the sequence.
  bool is_token(std::int64_t b, std::int64_t c) const { return valid.empty() || valid[static_cast<std::size_t>(b * columns() + c)] != 0; }
};

/// Fills positions and longest from batch, past, length and valid: the running count of tokens from 0; padding before the first is 0.
void place_tokens(ForwardState& state);

}  // namespace bigmodel
