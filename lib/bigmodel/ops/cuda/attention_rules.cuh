// SPDX-License-Identifier: Apache-2.0
// What attention kernels are told, and which keys a query sees with which score (AttentionRule).
#pragma once

#include "bigmodel/ops/attention.h"
#include "bigmodel/ops/cuda/attention_shapes.h"
#include "bigmodel/ops/cuda/stored_values.cuh"

namespace bigmodel::ops::kernels {

struct AttentionWork {
  AttentionInput in;                         ///< k and v point to elements of the cache's dtype
  AttentionRule rule;
  const std::int64_t* past_there = nullptr;
  float* out = nullptr;
  bool aligned_keys = false, aligned_values = false;   ///< rows begin at multiples of 16 bytes

  /// Keys there are, and the number of query 0, when the work runs.
  __device__ std::int64_t keys() const { return past_there == nullptr ? in.keys : min(*past_there + in.queries, in.keys); }
  __device__ std::int64_t first_query() const { return past_there == nullptr ? in.first_query : *past_there; }
};

struct KeyRange {
  std::int64_t from, end;   ///< from == end: none
};

/// The keys that query number `at` may see by distance.
__device__ inline KeyRange visible(const AttentionRule& rule, std::int64_t at, std::int64_t keys) {
  KeyRange out{0, keys};
  if (rule.causal) out.end = min(out.end, at + 1);
  if (rule.window > 0) out.from = max(out.from, at - rule.window + 1);
  if (rule.window > 0 && !rule.causal && rule.window_ahead >= 0) out.end = min(out.end, at + rule.window_ahead + 1);
  if (rule.chunk > 0) out.from = max(out.from, at / rule.chunk * rule.chunk);
  out.end = max(out.from, out.end);
  return out;
}

/// The score under which nothing is seen.
__device__ __forceinline__ float never() { return -INFINITY; }

static __device__ BIGMODEL_NOINLINE float capped(float score, float cap) { return cap * tanhf(score / cap); }

/// The scores of one query and head, of keys from number `first` on.
struct ScoreRow {
  const std::uint8_t* valid = nullptr;   ///< null: all of them
  const float* key_bias = nullptr;
  const float* bias = nullptr;

  __device__ __forceinline__ ScoreRow(const AttentionWork& work, std::int64_t b, std::int64_t h, std::int64_t query, std::int64_t first) {
    if (work.rule.key_valid != nullptr) valid = work.rule.key_valid + b * work.in.keys + first;
    if (work.rule.key_bias != nullptr) key_bias = work.rule.key_bias + (b * work.in.heads + h) * work.in.keys + first;
    if (work.rule.bias != nullptr) bias = work.rule.bias + (h * work.in.queries + query) * work.in.keys + first;
  }

  /// Of a key that is within the query's range; never() where it is not valid.
  __device__ __forceinline__ float operator()(const AttentionRule& rule, int key, float dot) const {
    if (valid != nullptr && valid[key] == 0) return never();
    float score = dot * rule.scale;
    if (key_bias != nullptr) score += key_bias[key];
    if (bias != nullptr) score += bias[key];
    if (rule.soft_cap > 0) score = capped(score, rule.soft_cap);
    return score;
  }
};

/// exp(score - top), 0 where nothing was seen.
__device__ __forceinline__ float weight_of(float score, float top) { return score == never() ? 0.0F : expf(score - top); }

/// A query that sees nothing: zeros, or the mean of all values.
template <class Row>
__device__ BIGMODEL_NOINLINE float blind_value(const AttentionWork& work, std::int64_t b, std::int64_t h, std::int64_t keys, std::int64_t d) {
  if (!work.rule.spread_when_blind) return 0;
  const AttentionInput& in = work.in;
  const Bytes* at = reinterpret_cast<const Bytes*>(in.v) + (b * in.kv_heads + h / (in.heads / in.kv_heads)) * in.capacity * Row::bytes(in.value_dim);
  const float share = 1.0F / static_cast<float>(keys);
  float sum = 0;
  for (std::int64_t n = 0; n < keys; ++n) sum += share * Row::one(at + n * Row::bytes(in.value_dim), d);
  return sum;
}

}  // namespace bigmodel::ops::kernels
