// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/attention.h"

namespace bigmodel::ops {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// The keys [from, to) that query number `at` may see by distance.
std::pair<std::int64_t, std::int64_t> visible(const AttentionRule& rule, std::int64_t at, std::int64_t keys) {
  std::int64_t from = 0;
  std::int64_t to = keys;
  if (rule.causal) to = std::min(to, at + 1);
  if (rule.window > 0) from = std::max(from, at - rule.window + 1);
  if (rule.window > 0 && !rule.causal && rule.window_ahead >= 0) to = std::min(to, at + rule.window_ahead + 1);
  if (rule.chunk > 0) from = std::max(from, at / rule.chunk * rule.chunk);
  return {from, std::max(from, to)};
}

}  // namespace

void attention(const AttentionInput& in, const AttentionRule& rule, float* out) {
  BIGMODEL_ASSERT(in.kv_heads > 0 && in.heads % in.kv_heads == 0 && in.keys <= in.capacity);
  const std::int64_t group = in.heads / in.kv_heads;
  std::vector<float> scores(static_cast<std::size_t>(in.keys));
  for (std::int64_t b = 0; b < in.batch; ++b) {
    const std::uint8_t* valid = rule.key_valid == nullptr ? nullptr : rule.key_valid + b * in.keys;
    for (std::int64_t h = 0; h < in.heads; ++h) {
      const std::int64_t kv = b * in.kv_heads + h / group;
      const float* keys = in.k + kv * in.capacity * in.head_dim;
      const float* key_bias = rule.key_bias == nullptr ? nullptr : rule.key_bias + (b * in.heads + h) * in.keys;
      const float* values = in.v + kv * in.capacity * in.value_dim;
      for (std::int64_t i = 0; i < in.queries; ++i) {
        const float* q = in.q + ((b * in.queries + i) * in.heads + h) * in.head_dim;
        float* to = out + ((b * in.queries + i) * in.heads + h) * in.value_dim;
        auto [from, end] = visible(rule, in.first_query + i, in.keys);
        float top = rule.sinks == nullptr ? kNever : rule.sinks[h];
        const float sink = top;
        bool sees = false;
        for (std::int64_t j = from; j < end; ++j) {
          float& score = scores[static_cast<std::size_t>(j)];
          if (valid != nullptr && valid[j] == 0) {
            score = kNever;
            continue;
          }
          sees = true;
          const float* k = keys + j * in.head_dim;
          float sum = 0;
          for (std::int64_t d = 0; d < in.head_dim; ++d) sum += q[d] * k[d];
          score = sum * rule.scale;
          if (key_bias != nullptr) score += key_bias[j];
          if (rule.bias != nullptr) score += rule.bias[(h * in.queries + i) * in.keys + j];
          if (rule.soft_cap > 0) score = rule.soft_cap * std::tanh(score / rule.soft_cap);
          top = std::max(top, score);
        }
        std::fill(to, to + in.value_dim, 0.0F);
        if (!sees) {
          if (!rule.spread_when_blind) continue;
          from = 0;
          end = in.keys;
          std::fill(scores.begin(), scores.end(), 0.0F);
          top = 0;
        }
        float total = rule.sinks == nullptr ? 0.0F : std::exp(sink - top);
        for (std::int64_t j = from; j < end; ++j) {
          float& score = scores[static_cast<std::size_t>(j)];
          score = std::exp(score - top);
          total += score;
        }
        for (std::int64_t j = from; j < end; ++j) {
          const float weight = scores[static_cast<std::size_t>(j)] / total;
          if (weight == 0) continue;
          const float* v = values + j * in.value_dim;
          for (std::int64_t d = 0; d < in.value_dim; ++d) to[d] += weight * v[d];
        }
      }
    }
  }
}

}  // namespace bigmodel::ops
