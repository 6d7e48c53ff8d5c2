// SPDX-License-Identifier: Apache-2.0
// Attention against its definition in double, over all rules.
#include "bigmodel/ops/attention.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/widen.h"

using namespace bigmodel;
using namespace bigmodel::ops;

namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

double by_definition(const AttentionInput& in, const AttentionRule& rule, std::int64_t b, std::int64_t i, std::int64_t h, std::int64_t d) {
  const std::int64_t kv = b * in.kv_heads + h / (in.heads / in.kv_heads);
  double total = rule.sinks == nullptr ? 0 : std::exp(static_cast<double>(rule.sinks[h]));
  double sum = 0;
  bool sees = false;
  const std::int64_t at = in.first_query + i;
  for (std::int64_t j = 0; j < in.keys; ++j) {
    if (rule.causal && j > at) continue;
    if (rule.window > 0 && j <= at - rule.window) continue;
    if (rule.window > 0 && !rule.causal && rule.window_ahead >= 0 && j > at + rule.window_ahead) continue;
    if (rule.chunk > 0 && j / rule.chunk != at / rule.chunk) continue;
    if (rule.key_valid != nullptr && rule.key_valid[b * in.keys + j] == 0) continue;
    sees = true;
    double score = 0;
    for (std::int64_t e = 0; e < in.head_dim; ++e) {
      score += static_cast<double>(in.q[((b * in.queries + i) * in.heads + h) * in.head_dim + e]) * in.k[(kv * in.capacity + j) * in.head_dim + e];
    }
    score *= rule.scale;
    if (rule.key_bias != nullptr) score += rule.key_bias[(b * in.heads + h) * in.keys + j];
    if (rule.bias != nullptr) score += rule.bias[(h * in.queries + i) * in.keys + j];
    if (rule.soft_cap > 0) score = rule.soft_cap * std::tanh(score / rule.soft_cap);
    total += std::exp(score);
    sum += std::exp(score) * in.v[(kv * in.capacity + j) * in.value_dim + d];
  }
  if (!sees && !rule.spread_when_blind) return 0;
  if (!sees) {
    for (std::int64_t j = 0; j < in.keys; ++j) sum += in.v[(kv * in.capacity + j) * in.value_dim + d];
    return sum / static_cast<double>(in.keys);
  }
  return sum / total;
}

/// Towards zero: any two bytes will do.
std::uint16_t cut_to(DType kept, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (kept == DType::bfloat16) return static_cast<std::uint16_t>(bits >> 16);
  const std::uint32_t scaled = std::bit_cast<std::uint32_t>(std::abs(value) * 0x1p-112f) >> 13;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000u) | scaled);
}

/// The values as `kept` stores them; `values` become what those stand for.
std::vector<std::uint16_t> rounded(std::vector<float>& values, DType kept) {
  std::vector<std::uint16_t> out;
  if (kept == DType::float32) return out;
  for (const float v : values) out.push_back(cut_to(kept, v));
  widen({kept, {}, reinterpret_cast<const std::byte*>(out.data())}, 0, static_cast<std::int64_t>(values.size()), values.data());
  return out;
}

void check_all_rules(std::int64_t keys, DType kept) {
  AttentionInput in;
  in.batch = 2;
  in.queries = 9;
  in.keys = keys;
  in.capacity = keys + 4;
  in.heads = 6;
  in.kv_heads = 2;
  in.head_dim = 20;
  in.value_dim = 13;
  in.first_query = in.keys - in.queries;
  const auto floats = [](std::int64_t count, unsigned seed) { return random_floats(static_cast<std::size_t>(count), seed); };
  const std::vector<float> q = floats(in.batch * in.queries * in.heads * in.head_dim, 1);
  std::vector<float> k = floats(in.batch * in.kv_heads * in.capacity * in.head_dim, 2);
  std::vector<float> v = floats(in.batch * in.kv_heads * in.capacity * in.value_dim, 3);
  const std::vector<std::uint16_t> small_k = rounded(k, kept), small_v = rounded(v, kept);
  const std::vector<float> sinks = floats(in.heads, 4);
  const std::vector<float> key_bias = floats(in.batch * in.heads * in.keys, 5);
  const std::vector<float> bias = floats(in.heads * in.queries * in.keys, 6);
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(in.batch * in.keys), 1);
  for (std::size_t i = 0; i < 14; ++i) valid[i] = 0;
  in.q = q.data();
  in.k = k.data();
  in.v = v.data();
  std::vector<AttentionRule> rules(9);
  for (AttentionRule& r : rules) r.scale = 0.3F;
  rules[1].causal = false;
  rules[2].window = 4;
  rules[3].causal = false;
  rules[3].window = 3;
  rules[3].window_ahead = 2;
  rules[4].chunk = 5;
  rules[5].soft_cap = 2.0F;
  rules[5].sinks = sinks.data();
  rules[6].key_bias = key_bias.data();
  rules[6].bias = bias.data();
  rules[7].key_valid = valid.data();
  rules[8].key_valid = valid.data();
  rules[8].spread_when_blind = true;
  ThreadPool pool(2);
  for (const CpuIsa isa : usable_cpu_isas()) {
    for (std::size_t n = 0; n < rules.size(); ++n) {
      CAPTURE(to_string(isa));
      CAPTURE(n);
      std::vector<float> out(static_cast<std::size_t>(in.batch * in.queries * in.heads * in.value_dim), 7.0F);
      AttentionInput stored = in;
      if (kept != DType::float32) {
        stored.k = reinterpret_cast<const float*>(small_k.data());
        stored.v = reinterpret_cast<const float*>(small_v.data());
      }
      attention({&pool, isa}, stored, rules[n], out.data(), kept);
      double off = 0;
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(out.size()); ++i) {
        const std::int64_t row = i / in.value_dim / in.heads;
        const double want = by_definition(in, rules[n], row / in.queries, row % in.queries, i / in.value_dim % in.heads, i % in.value_dim);
        off = std::max(off, std::abs(out[static_cast<std::size_t>(i)] - want));
      }
      CHECK(off < 3e-6);
    }
  }
}

/// Rows from number `first` on of every head, with room for one more.
template <typename T>
std::vector<T> without_first(const std::vector<T>& all, const AttentionInput& in, std::int64_t width, std::int64_t first) {
  std::vector<T> out;
  for (std::int64_t h = 0; h < in.batch * in.kv_heads; ++h) {
    const auto begin = all.begin() + h * in.capacity * width;
    out.insert(out.end(), begin + first * width, begin + in.keys * width);
    out.insert(out.end(), static_cast<std::size_t>(width), T{});
  }
  return out;
}

/// Outputs with all keys and without the first ones that no query sees.
void check_first_key(DType kept) {
  AttentionInput in{.batch = 2, .queries = 9, .keys = 300, .capacity = 303, .heads = 6, .kv_heads = 2, .head_dim = 20, .value_dim = 13, .first_query = 291};
  const auto floats = [](std::int64_t count, unsigned seed) { return random_floats(static_cast<std::size_t>(count), seed); };
  const std::vector<float> q = floats(in.batch * in.queries * in.heads * in.head_dim, 1);
  std::vector<float> k = floats(in.batch * in.kv_heads * in.capacity * in.head_dim, 2);
  std::vector<float> v = floats(in.batch * in.kv_heads * in.capacity * in.value_dim, 3);
  const std::vector<std::uint16_t> small_k = rounded(k, kept), small_v = rounded(v, kept);
  const std::vector<float> sinks = floats(in.heads, 4), key_bias = floats(in.batch * in.heads * in.keys, 5), bias = floats(in.heads * in.queries * in.keys, 6);
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(in.batch * in.keys), 1);
  for (std::size_t i = 0; i < 270; ++i) valid[i] = 0;
  in.q = q.data();
  std::vector<AttentionRule> rules(5);
  for (AttentionRule& r : rules) r.scale = 0.3F;
  rules[0].window = 40;
  rules[1].chunk = 145;
  rules[2].window = 200;
  rules[2].sinks = sinks.data();
  rules[2].soft_cap = 2.0F;
  rules[3].window = 50;
  rules[3].key_bias = key_bias.data();
  rules[3].bias = bias.data();
  rules[4].window = 70;
  rules[4].key_valid = valid.data();
  for (const CpuIsa isa : usable_cpu_isas()) {
    for (const AttentionRule& rule : rules) {
      const std::int64_t most = rule.chunk > 0 ? in.first_query / rule.chunk * rule.chunk : in.first_query - rule.window + 1;
      CAPTURE(to_string(isa));
      CAPTURE(most);
      const auto outputs = [&](std::int64_t first) {
        AttentionInput part = in;
        const std::vector<float> some_k = without_first(k, in, in.head_dim, first), some_v = without_first(v, in, in.value_dim, first);
        std::vector<std::uint16_t> some_small_k, some_small_v;
        part.k = some_k.data();
        part.v = some_v.data();
        if (kept != DType::float32) {
          some_small_k = without_first(small_k, in, in.head_dim, first);
          some_small_v = without_first(small_v, in, in.value_dim, first);
          part.k = reinterpret_cast<const float*>(some_small_k.data());
          part.v = reinterpret_cast<const float*>(some_small_v.data());
        }
        part.capacity = in.keys - first + 1;
        part.first_key = first;
        std::vector<float> out(static_cast<std::size_t>(in.batch * in.queries * in.heads * in.value_dim), 7.0F);
        attention({nullptr, isa}, part, rule, out.data(), kept);
        return out;
      };
      const std::vector<float> whole = outputs(0);
      for (const std::int64_t first : {std::int64_t{1}, std::int64_t{64}, most - 1, most}) CHECK(outputs(first) == whole);
      if (most < in.first_query) CHECK_THROWS_AS(outputs(most + 1), InternalError);
    }
  }
}

}  // namespace

TEST_SUITE("ops/attention") {
  TEST_CASE("every rule, on every instruction set") { check_all_rules(21, DType::float32); }

  TEST_CASE("keys and values that are kept in two bytes give what the values that they stand for give") {
    for (const DType kept : {DType::bfloat16, DType::float16}) {
      CAPTURE(name(kept));
      for (const std::int64_t keys : {21, 300}) check_all_rules(keys, kept);
    }
  }

  TEST_CASE("keys that nobody sees may be missing: the same bits come out") {
    for (const DType kept : {DType::float32, DType::bfloat16, DType::float16}) {
      CAPTURE(name(kept));
      check_first_key(kept);
    }
  }
}
