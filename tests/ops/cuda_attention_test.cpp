// SPDX-License-Identifier: Apache-2.0
// Kernels of attention and of caches, in the emulator: against the definition in double, and against the CPU.
#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/attention_shapes.h"
#include "bigmodel/ops/cuda/element_values.cuh"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <random>

using namespace bigmodel;
using namespace bigmodel::ops;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;

namespace {

using Floats = std::vector<float>;

Floats random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Floats out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

/// As the dtype stores it.
float rounded(DType dtype, float x) {
  if (dtype == DType::bfloat16) return bf16_to_float(float_to_bf16(x));
  if (dtype == DType::float16) return f16_to_float(float_to_f16(x));
  return x;
}

std::vector<std::byte> stored(DType dtype, const Floats& x) {
  const std::size_t size = dtype == DType::float32 ? 4 : 2;
  std::vector<std::byte> out(x.size() * size);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::uint16_t half = dtype == DType::bfloat16 ? float_to_bf16(x[i]) : float_to_f16(x[i]);
    if (size == 4) {
      std::memcpy(&out[i * 4], &x[i], 4);
    } else {
      std::memcpy(&out[i * 2], &half, 2);
    }
  }
  return out;
}

/// Sizes, rules and numbers of one call; keys and values are already as the cache's dtype has them.
struct Case {
  AttentionInput in;
  AttentionRule rule;
  DType dtype = DType::float32;
  bool with_sinks = false, with_key_bias = false, with_bias = false;
  std::int64_t padded = 0;   ///< of batch entry 0, so many keys from the front are not valid
  Floats q, k, v, sinks, key_bias, bias;
  std::vector<std::uint8_t> valid;

  void fill(unsigned seed = 1) {
    if (in.capacity == 0) in.capacity = in.keys;
    q = random_floats(in.batch * in.queries * in.heads * in.head_dim, seed);
    k = random_floats(in.batch * in.kv_heads * in.capacity * in.head_dim, seed + 1);
    v = random_floats(in.batch * in.kv_heads * in.capacity * in.value_dim, seed + 2);
    for (float& x : k) x = rounded(dtype, x);
    for (float& x : v) x = rounded(dtype, x);
    if (with_sinks) sinks = random_floats(in.heads, seed + 3);
    if (with_key_bias) key_bias = random_floats(in.batch * in.heads * in.keys, seed + 4);
    if (with_bias) bias = random_floats(in.heads * in.queries * in.keys, seed + 5);
    valid.clear();
    if (padded > 0) valid.assign(static_cast<std::size_t>(in.batch * in.keys), 1);
    for (std::int64_t i = 0; i < padded; ++i) valid[static_cast<std::size_t>(i)] = 0;
    rule.scale = 1 / std::sqrt(static_cast<float>(in.head_dim));
  }
  bool on_tensor_cores() const { return dtype != DType::float32 && in.queries >= kFewestMmaQueries; }
};

Floats by_definition(const Case& c) {
  const AttentionInput& in = c.in;
  const AttentionRule& rule = c.rule;
  const auto at = [](const Floats& x, std::int64_t i) { return static_cast<double>(x[static_cast<std::size_t>(i)]); };
  Floats out;
  for (std::int64_t b = 0; b < in.batch; ++b) {
    for (std::int64_t i = 0; i < in.queries; ++i) {
      for (std::int64_t h = 0; h < in.heads; ++h) {
        const std::int64_t kv = b * in.kv_heads + h / (in.heads / in.kv_heads);
        const std::int64_t place = in.first_query + i;
        double total = c.with_sinks ? std::exp(at(c.sinks, h)) : 0;
        std::vector<double> sum(static_cast<std::size_t>(in.value_dim)), all(sum);
        bool sees = false;
        for (std::int64_t j = 0; j < in.keys; ++j) {
          for (std::int64_t d = 0; d < in.value_dim; ++d) all[static_cast<std::size_t>(d)] += at(c.v, (kv * in.capacity + j) * in.value_dim + d) / static_cast<double>(in.keys);
          if (rule.causal && j > place) continue;
          if (rule.window > 0 && j <= place - rule.window) continue;
          if (rule.window > 0 && !rule.causal && rule.window_ahead >= 0 && j > place + rule.window_ahead) continue;
          if (rule.chunk > 0 && j < place / rule.chunk * rule.chunk) continue;
          if (c.padded > 0 && c.valid[static_cast<std::size_t>(b * in.keys + j)] == 0) continue;
          sees = true;
          double score = 0;
          for (std::int64_t d = 0; d < in.head_dim; ++d) {
            const float query = c.q[static_cast<std::size_t>(((b * in.queries + i) * in.heads + h) * in.head_dim + d)];
            score += static_cast<double>(c.on_tensor_cores() ? rounded(c.dtype, query) : query) * at(c.k, (kv * in.capacity + j) * in.head_dim + d);
          }
          score *= rule.scale;
          if (c.with_key_bias) score += at(c.key_bias, (b * in.heads + h) * in.keys + j);
          if (c.with_bias) score += at(c.bias, (h * in.queries + i) * in.keys + j);
          if (rule.soft_cap > 0) score = rule.soft_cap * std::tanh(score / rule.soft_cap);
          total += std::exp(score);
          for (std::int64_t d = 0; d < in.value_dim; ++d) sum[static_cast<std::size_t>(d)] += std::exp(score) * at(c.v, (kv * in.capacity + j) * in.value_dim + d);
        }
        for (std::size_t d = 0; d < sum.size(); ++d) out.push_back(static_cast<float>(sees ? sum[d] / total : rule.spread_when_blind ? all[d] : 0));
      }
    }
  }
  return out;
}

struct Setup {
  unsigned order = 0;
  int capability = 90;
  bool counted_there = false;        ///< past_there, with room for `room` keys more
  std::int64_t room = 0;
  std::size_t offset_bytes = 0;      ///< of keys and values from a multiple of 16
};

Floats on_device(const Case& c, const Setup& setup = {}) {
  test::EmulatedOptions options;
  options.order = setup.order;
  options.capability = setup.capability;
  options.memory_bytes = 64 << 20;
  const EmulatedAccelerator device(options);
  const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
  AttentionInput in = c.in;
  AttentionRule rule = c.rule;
  // A cache with more room: the same rows, further apart.
  in.capacity += setup.room;
  const auto spread = [&](const Floats& from, std::int64_t dim) {
    Floats out(static_cast<std::size_t>(in.batch * in.kv_heads * in.capacity * dim), std::nanf(""));
    for (std::int64_t h = 0; h < in.batch * in.kv_heads; ++h) {
      std::copy_n(from.begin() + h * c.in.capacity * dim, in.keys * dim, out.begin() + h * in.capacity * dim);
    }
    return out;
  };
  const std::vector<std::byte> k = stored(c.dtype, spread(c.k, in.head_dim));
  const std::vector<std::byte> v = stored(c.dtype, spread(c.v, in.value_dim));
  const DeviceArray<float> q(device, std::span(c.q)), sinks(device, std::span(c.sinks)), key_bias(device, std::span(c.key_bias)), bias(device, std::span(c.bias));
  const DeviceArray<std::byte> keys(device, std::span(k), setup.offset_bytes), values(device, std::span(v), setup.offset_bytes);
  const DeviceArray<std::uint8_t> valid(device, std::span(c.valid));
  const DeviceArray<float> out(device, static_cast<std::size_t>(in.batch * in.queries * in.heads * in.value_dim));
  const std::vector<std::int64_t> past = {in.first_query};
  const DeviceArray<std::int64_t> counter(device, std::span(past));
  in.q = q.data();
  in.k = reinterpret_cast<const float*>(keys.data());
  in.v = reinterpret_cast<const float*>(values.data());
  if (c.with_sinks) rule.sinks = sinks.data();
  if (c.with_key_bias) rule.key_bias = key_bias.data();
  if (c.with_bias) rule.bias = bias.data();
  if (c.padded > 0) rule.key_valid = valid.data();
  CacheView view{c.dtype, nullptr};
  if (setup.counted_there) {
    view.past_there = counter.data();
    in.keys = in.capacity;
    in.first_query = -1;
  }
  ops.attention(in, view, rule, out.data());
  return out.read();
}

/// Scores and sums in float32: their roundings, of about 64 numbers of size 1. On tensor cores a weight is rounded once more, which moves a mean of values by
/// no more than that part of the largest value.
void check_near(const Case& c, const Floats& got, const Floats& wanted) {
  float largest = 0;
  for (const float x : c.v) largest = std::max(largest, std::abs(x));
  float bound = 64 * 0x1p-24F * largest;
  if (c.on_tensor_cores()) bound += (c.dtype == DType::bfloat16 ? 0x1p-9F : 0x1p-12F) * largest;
  REQUIRE(got.size() == wanted.size());
  float worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::isfinite(got[i]) ? std::abs(got[i] - wanted[i]) : INFINITY);
  CHECK(worst <= bound);
}

AttentionInput sizes(std::int64_t batch, std::int64_t queries, std::int64_t keys, std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t value_dim) {
  AttentionInput in;
  in.batch = batch;
  in.queries = queries;
  in.keys = keys;
  in.heads = heads;
  in.kv_heads = kv_heads;
  in.head_dim = head_dim;
  in.value_dim = value_dim;
  in.first_query = keys - queries;
  return in;
}

constexpr DType kCaches[] = {DType::float32, DType::bfloat16, DType::float16};

}  // namespace

TEST_SUITE("ops/cuda/attention") {
  TEST_CASE("rows go behind what the cache holds, rounded to its dtype") {
    const EmulatedAccelerator device;
    const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const std::int64_t batch = 2, heads = 3, dim = 5, capacity = 9, past = 4, count = 2;
    Floats rows = random_floats(batch * count * heads * dim, 1);
    rows[3] = 1e-6F;
    rows[4] = 1e30F;
    const DeviceArray<float> from(device, std::span(rows));
    for (const DType dtype : kCaches) {
      for (const bool there : {false, true}) {
        const Floats before(static_cast<std::size_t>(batch * heads * capacity * dim), 7.0F);
        const std::vector<std::byte> held = stored(dtype, before);
        const DeviceArray<std::byte> cache(device, std::span(held));
        const std::vector<std::int64_t> counts = {past};
        const DeviceArray<std::int64_t> counter(device, std::span(counts));
        CachePlace place{cache.data(), dtype, batch, heads, capacity, dim, there ? 1000 : past, there ? counter.data() : nullptr};
        ops.append_to_cache(from.data(), count, place);
        Floats wanted = before;
        for (std::int64_t b = 0; b < batch; ++b) {
          for (std::int64_t n = 0; n < count; ++n) {
            for (std::int64_t h = 0; h < heads; ++h) {
              for (std::int64_t d = 0; d < dim; ++d) {
                wanted[static_cast<std::size_t>(((b * heads + h) * capacity + past + n) * dim + d)] = rows[static_cast<std::size_t>(((b * count + n) * heads + h) * dim + d)];
              }
            }
          }
        }
        CHECK(cache.read() == stored(dtype, wanted));
      }
    }
  }

  TEST_CASE("rows beyond the cache are left out where the device counts") {
    const EmulatedAccelerator device;
    const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const Floats rows = {1, 2, 3, 4}, before = {0, 0, 0, 0, 9, 9};
    const std::vector<std::int64_t> counts = {3};
    const DeviceArray<float> from(device, std::span(rows)), cache(device, std::span(before));
    const DeviceArray<std::int64_t> counter(device, std::span(counts));
    ops.append_to_cache(from.data(), 4, {reinterpret_cast<std::byte*>(cache.data()), DType::float32, 1, 1, 4, 1, 0, counter.data()});
    CHECK(cache.read() == Floats{0, 0, 0, 1, 9, 9});
  }

  TEST_CASE("few queries: numbers of keys around the size of a split, and heads that share keys") {
    for (const DType dtype : kCaches) {
      for (const std::int64_t keys : {1, 127, 128, 129, 300}) {
        for (const auto& [heads, kv_heads] : {std::pair{2, 2}, {6, 2}, {8, 1}, {12, 1}}) {
          Case c;
          c.in = sizes(1, 1, keys, heads, kv_heads, 16, 16);
          c.dtype = dtype;
          c.fill(static_cast<unsigned>(keys));
          CAPTURE(keys);
          CAPTURE(heads);
          check_near(c, on_device(c, {.order = heads % 3U}), by_definition(c));
        }
      }
    }
  }

  TEST_CASE("lengths of heads: odd ones, values unlike keys, and long ones; few queries and many") {
    for (const DType dtype : kCaches) {
      for (const std::int64_t queries : {2, 9, 33}) {
        for (const auto& [head_dim, value_dim] : {std::pair{13, 7}, {24, 16}, {192, 128}, {130, 131}, {512, 512}}) {
          if (queries == 33 && head_dim > 192) continue;
          Case c;
          c.in = sizes(1, queries, 70, 2, 1, head_dim, value_dim);
          c.dtype = dtype;
          c.fill(3);
          CAPTURE(queries);
          CAPTURE(head_dim);
          check_near(c, on_device(c, {.order = 1, .offset_bytes = head_dim == 24 ? 4U : 0U}), by_definition(c));
        }
      }
    }
  }

  TEST_CASE("every rule, few queries and many, with padding") {
    const auto with = [](auto&& change) {
      for (const DType dtype : kCaches) {
        for (const std::int64_t queries : {3, 70}) {
          Case c;
          c.in = sizes(2, queries, 150, 4, 2, 16, 12);
          c.in.capacity = 153;
          c.dtype = dtype;
          change(c);
          c.fill(5);
          CAPTURE(name(dtype));
          CAPTURE(queries);
          check_near(c, on_device(c, {.order = queries == 3 ? 7U : 0U}), by_definition(c));
        }
      }
    };
    SUBCASE("causal") { with([](Case&) {}); }
    SUBCASE("not causal, from the first key") {
      with([](Case& c) {
        c.rule.causal = false;
        c.in.first_query = 0;
      });
    }
    SUBCASE("window") { with([](Case& c) { c.rule.window = 20; }); }
    SUBCASE("window that begins behind a split") { with([](Case& c) { c.rule.window = 5; }); }
    SUBCASE("window to both sides") {
      with([](Case& c) {
        c.rule.causal = false;
        c.rule.window = 9;
        c.rule.window_ahead = 4;
        c.in.first_query = 30;
      });
    }
    SUBCASE("chunks") { with([](Case& c) { c.rule.chunk = 32; }); }
    SUBCASE("soft cap") { with([](Case& c) { c.rule.soft_cap = 2; }); }
    SUBCASE("sinks") { with([](Case& c) { c.with_sinks = true; }); }
    SUBCASE("bias by key") { with([](Case& c) { c.with_key_bias = true; }); }
    SUBCASE("bias by query and key") { with([](Case& c) { c.with_bias = true; }); }
    SUBCASE("padding that blinds, zeros") {
      with([](Case& c) {
        c.padded = 149;
        c.with_sinks = true;
      });
    }
    SUBCASE("padding that blinds, spread") {
      with([](Case& c) {
        c.padded = 149;
        c.rule.spread_when_blind = true;
      });
    }
    SUBCASE("all together") {
      with([](Case& c) {
        c.padded = 90;
        c.rule.window = 40;
        c.rule.soft_cap = 3;
        c.with_sinks = c.with_key_bias = c.with_bias = true;
      });
    }
  }

  TEST_CASE("bits are the same wherever the count of keys comes from, whatever room there is, and in any order of threads") {
    for (const DType dtype : kCaches) {
      for (const std::int64_t queries : {1, 4, 20}) {
        Case c;
        c.in = sizes(2, queries, 140, 4, 2, 24, 24);
        c.dtype = dtype;
        c.rule.window = queries == 4 ? 30 : 0;
        // Then a query sees to the last key there is, which must not be the last that there is room for.
        c.rule.causal = queries != 20;
        c.fill(8);
        const Floats wanted = on_device(c);
        check_near(c, wanted, by_definition(c));
        CHECK(on_device(c, {.order = 1}) == wanted);
        CHECK(on_device(c, {.order = 5}) == wanted);
        CHECK(on_device(c, {.room = 300}) == wanted);
        CHECK(on_device(c, {.counted_there = true}) == wanted);
        CHECK(on_device(c, {.order = 1, .counted_there = true, .room = 300}) == wanted);
      }
    }
  }

  TEST_CASE("a query's bits do not depend on other batch entries") {
    for (const std::int64_t queries : {1, 12}) {
      Case both;
      both.in = sizes(2, queries, 135, 4, 2, 16, 16);
      both.fill(9);
      const Floats wanted = on_device(both);
      Case first = both;
      first.in.batch = 1;
      for (Floats* x : {&first.q, &first.k, &first.v}) x->resize(x->size() / 2);
      CHECK(on_device(first) == Floats(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(wanted.size() / 2)));
    }
  }

  TEST_CASE("cards without products of bfloat16 compute in float32") {
    for (const DType dtype : kCaches) {
      Case c;
      c.in = sizes(1, 40, 70, 4, 2, 20, 20);
      c.dtype = dtype;
      c.fill(10);
      const Floats got = on_device(c, {.capability = 75});
      Case exact = c;
      exact.dtype = DType::float32;
      check_near(exact, got, by_definition(exact));
    }
  }

  TEST_CASE("the CPU's attention gives the same") {
    for (const std::int64_t queries : {2, 40}) {
      Case c;
      c.in = sizes(2, queries, 150, 6, 2, 20, 13);
      c.rule.window = 50;
      c.with_sinks = c.with_key_bias = true;
      c.rule.soft_cap = 4;
      c.fill(11);
      AttentionInput in = c.in;
      AttentionRule rule = c.rule;
      in.q = c.q.data();
      in.k = c.k.data();
      in.v = c.v.data();
      rule.sinks = c.sinks.data();
      rule.key_bias = c.key_bias.data();
      Floats wanted(static_cast<std::size_t>(in.batch * in.queries * in.heads * in.value_dim));
      attention(CpuContext{}, in, rule, wanted.data());
      check_near(c, on_device(c), wanted);
    }
  }

  TEST_CASE("what it does not take") {
    const EmulatedAccelerator device;
    const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const DeviceArray<float> some(device, std::size_t{64});
    const DeviceArray<std::int64_t> counter(device, std::size_t{1});
    AttentionInput in = sizes(1, 1, 1, 1, 1, 4, 4);
    in.capacity = 1;
    in.q = in.k = in.v = some.data();
    AttentionRule rule;
    CHECK_THROWS_WITH_AS(ops.attention(in, {DType::float64, nullptr}, rule, some.data()), "cache: expected float32, bfloat16 or float16, got float64", UnsupportedError);
    rule.bias = some.data();
    CHECK_THROWS_AS(ops.attention(in, {DType::float32, counter.data()}, rule, some.data()), InternalError);
    rule.bias = nullptr;
    in.head_dim = 2000;
    CHECK_THROWS_WITH_AS(ops.attention(in, {DType::float32, nullptr}, rule, some.data()), "attention: expected heads of at most 1024 elements, got 2000", UnsupportedError);
  }

  TEST_CASE("shapes of launches") {
    AttentionInput in = sizes(3, 1, 4097, 32, 8, 128, 128);
    LaunchShape shape = split_shape(in);
    CHECK(std::tuple{shape.grid_x, shape.grid_y, shape.grid_z, shape.threads} == std::tuple{33U, 8U, 3U, 128U});
    CHECK(shape.shared_bytes == (1024 + 4 * 128) * 4);
    in.heads = 128;
    in.kv_heads = 1;
    CHECK(split_shape(in).grid_y == 16);
    in.head_dim = kLongestHead;
    CHECK(split_shape(in).shared_bytes <= 48 << 10);
    in.queries = 65;
    in.value_dim = 129;
    shape = tile_shape(in, true);
    CHECK(std::tuple{shape.grid_x, shape.grid_y, shape.grid_z} == std::tuple{2U, 256U, 3U});
    CHECK(shape.shared_bytes <= 48 << 10);
    CHECK(tile_shape(in, false).grid_x == 3);
    CHECK(tile_shape(in, false).shared_bytes <= 48 << 10);
  }
}
