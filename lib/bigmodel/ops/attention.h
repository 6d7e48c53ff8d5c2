// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention of float32 queries over cached keys and values.
#pragma once

#include <cstdint>

#include "bigmodel/core/dtype.h"
#include "bigmodel/device/cpu/cpu_context.h"

namespace bigmodel::ops {

/// Keys and values are [batch, kv_heads, capacity, dim]: of each head, `keys` rows are filled. Of another dtype than float32 their addresses are those
/// of the bytes.
struct AttentionInput {
  const float* q = nullptr;       ///< [batch, queries, heads, head_dim]
  const float* k = nullptr;
  const float* v = nullptr;
  std::int64_t batch = 1, queries = 0, keys = 0, capacity = 0;
  std::int64_t heads = 1, kv_heads = 1, head_dim = 0, value_dim = 0;
  std::int64_t first_query = 0;   ///< the key number of query 0: query i sees keys up to first_query + i where causal
  /// The number of the first key that is stored: the earlier ones are gone, and no query sees them. `keys`, biases and masks count from key 0 all the
  /// same. On accelerators always 0.
  std::int64_t first_key = 0;
};

struct AttentionRule {
  float scale = 1;
  bool causal = true;
  std::int64_t window = 0;               ///< > 0: keys at least that far behind the query are not seen (the query's own counts)
  std::int64_t window_ahead = 0;         ///< where not causal: how far ahead is still seen; < 0: everything
  std::int64_t chunk = 0;                ///< > 0: only keys of the query's own chunk of so many
  float soft_cap = 0;                    ///< > 0: scores become cap * tanh(score / cap)
  const float* sinks = nullptr;          ///< [heads]: a score that takes part in the softmax without a value
  const float* key_bias = nullptr;       ///< [batch, heads, keys] added to the scores (alibi); null: none
  const float* bias = nullptr;           ///< [heads, queries, keys] added to the scores (relative positions); null: none
  const std::uint8_t* key_valid = nullptr;      ///< [batch, keys], 0: never seen; null: all valid
  bool spread_when_blind = false;        ///< a query that sees no key averages over all of them (the reference's mask is a large number)
};

/// out [batch, queries, heads, value_dim] = softmax(rule(q k^T)) v. A query that sees no key gives zeros unless spread_when_blind.
/// The same bits come out whatever first_key is.
/// `kept`: what keys and values are, float32, bfloat16 or float16; sums are float32.
void attention(const CpuContext& cpu, const AttentionInput& in, const AttentionRule& rule, float* out, DType kept = DType::float32);

}  // namespace bigmodel::ops
