// SPDX-License-Identifier: Apache-2.0
// Kernels of mixtures of experts, in the emulator: routers against the processor's order of operations, experts against plain loops in double.
#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/element_values.cuh"
#include "bigmodel/ops/cuda/moe_shapes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "bigmodel/ops/widen.h"

using namespace bigmodel;
using namespace bigmodel::ops;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;

namespace {

using Floats = std::vector<float>;
using Ids = std::vector<std::int64_t>;

Floats random_floats(std::int64_t count, unsigned seed, float size = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  Floats out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

struct Routed {
  Ids ids;
  Floats weights;
};

constexpr float kNever = -std::numeric_limits<float>::infinity();

void softmax(Floats& x) {
  const float top = *std::ranges::max_element(x);
  float sum = 0;
  for (float& v : x) sum += v = std::exp(v - top);
  for (float& v : x) v /= sum;
}

std::vector<std::size_t> largest(const Floats& x, std::int64_t count) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

/// One row, as engine/blocks/routing.cpp does it.
void route_plainly(const Floats& logits, const RoutingRule& rule, const Floats& choice_bias, Routed& out) {
  using Score = RoutingRule::Score;
  if (rule.score == Score::sparse_mixer) {
    Floats left = logits;
    for (int pick = 0; pick < 2; ++pick) {
      const std::size_t best = largest(left, 1).front();
      const float top = left[best];
      Floats near = left;
      for (std::size_t e = 0; e < near.size(); ++e) {
        if ((top - logits[e]) / std::max(std::abs(logits[e]), top) > 2 * rule.jitter) near[e] = kNever;
      }
      softmax(near);
      out.ids.push_back(static_cast<std::int64_t>(best));
      out.weights.push_back(near[best]);
      left[best] = kNever;
    }
    return;
  }
  Floats scores = logits;
  if (rule.score == Score::softmax) softmax(scores);
  if (rule.score == Score::sigmoid) {
    for (float& v : scores) v = 1.0F / (1.0F + std::exp(-v));
  }
  Floats choice = scores;
  for (std::size_t e = 0; e < choice_bias.size(); ++e) choice[e] += choice_bias[e];
  if (rule.groups > 0) {
    const std::size_t size = logits.size() / static_cast<std::size_t>(rule.groups);
    Floats of_group;
    for (std::size_t g = 0; g < static_cast<std::size_t>(rule.groups); ++g) {
      const Floats members(choice.begin() + static_cast<std::ptrdiff_t>(g * size), choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
      float value = 0;
      for (const std::size_t e : largest(members, rule.group_by_max ? 1 : std::min<std::int64_t>(2, static_cast<std::int64_t>(size)))) value += members[e];
      of_group.push_back(value);
    }
    const auto kept = largest(of_group, rule.top_groups);
    for (std::size_t e = 0; e < choice.size(); ++e) {
      if (std::ranges::find(kept, e / size) == kept.end()) choice[e] = rule.group_by_max ? 0.0F : kNever;
    }
  }
  Floats w;
  const auto chosen = largest(choice, rule.top_k);
  for (const std::size_t e : chosen) w.push_back((rule.group_by_max && rule.groups > 0 ? choice : scores)[e]);
  if (rule.score == Score::softmax_after_top_k) softmax(w);
  if (rule.normalise) {
    float sum = rule.normalise_eps;
    for (const float v : w) sum += v;
    for (float& v : w) v /= sum;
  }
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    out.ids.push_back(static_cast<std::int64_t>(chosen[k]));
    out.weights.push_back(w[k] * rule.scale);
  }
}

void check_route(const RoutingRule& rule, std::int64_t rows, const Floats& logits, const Floats& bias = {}) {
  Routed wanted;
  for (std::int64_t r = 0; r < rows; ++r) route_plainly(Floats(logits.begin() + r * rule.experts, logits.begin() + (r + 1) * rule.experts), rule, bias, wanted);
  for (const unsigned order : {0U, 1U, 5U}) {
    test::EmulatedOptions options;
    options.order = order;
    const EmulatedAccelerator device(options);
    const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const DeviceArray<float> in(device, std::span(logits)), biases(device, std::span(bias));
    const DeviceArray<std::int64_t> ids(device, wanted.ids.size());
    const DeviceArray<float> weights(device, wanted.weights.size());
    ops.route(in.data(), rows, rule, bias.empty() ? nullptr : biases.data(), ids.data(), weights.data());
    CHECK(ids.read() == wanted.ids);
    const Floats got = weights.read();
    // The same operations in the same order; exp() alone may differ in its last bit.
    bool near = true;
    for (std::size_t i = 0; i < got.size(); ++i) near = near && std::abs(got[i] - wanted.weights[i]) <= 4 * 0x1p-23F * std::abs(wanted.weights[i]);
    CHECK(near);
  }
}

/// Stacked matrices in a dtype: bytes as they lie, and what they stand for.
struct Stack {
  std::vector<std::byte> bytes;
  Floats values;
  TensorView view;
  Stack(DType dtype, Shape shape, unsigned seed, float size) {
    const std::int64_t count = element_count(shape);
    bytes.resize(static_cast<std::size_t>(byte_count(dtype, count)));
    const Floats wanted = random_floats(count, seed, size);
    std::mt19937 random(seed);
    if (block_size(dtype) > 1) {
      for (std::byte& b : bytes) b = static_cast<std::byte>(random());
      const std::size_t block = dtype == DType::q8_0 ? 34 : 18;
      for (std::size_t at = 0; at < bytes.size(); at += block) {
        const std::uint16_t factor = float_to_f16(size * (dtype == DType::q8_0 ? 1 / 74.0F : 1 / 4.6F) * (0.5F + static_cast<float>(random() % 100) / 100));
        std::memcpy(&bytes[at], &factor, 2);
      }
    } else {
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const std::uint16_t half = dtype == DType::bfloat16 ? float_to_bf16(wanted[i]) : float_to_f16(wanted[i]);
        if (dtype == DType::float32) {
          std::memcpy(&bytes[i * 4], &wanted[i], 4);
        } else {
          std::memcpy(&bytes[i * 2], &half, 2);
        }
      }
    }
    view = {dtype, std::move(shape), bytes.data()};
    values.resize(static_cast<std::size_t>(count));
    widen(view, 0, count, values.data());
  }
};

struct ExpertCase {
  std::int64_t rows = 3, size = 64, width = 32, experts = 5, top_k = 2;
  DType dtype = DType::float32;
  ExpertWeights layout;              ///< its flags and numbers
  bool biases = false, residual = false, bf16_products = false;
  float scale = 1;
  unsigned order = 0;
  std::size_t offset_bytes = 0;      ///< of the matrices from a multiple of 16
  std::int64_t only = -1;            ///< >= 0: every slot takes this expert
};

/// Reference and kernel, compared: every sum may be off by a rounding for each of its terms, and hidden values by what their two sums are off.
Floats run_experts(const ExpertCase& c) {
  const std::int64_t parts = c.layout.plain ? 1 : 2;
  const bool transposed = c.layout.transposed;
  const Stack up(c.dtype, transposed ? Shape{c.experts, c.size, parts * c.width} : Shape{c.experts, parts * c.width, c.size}, 1, 1 / std::sqrt(static_cast<float>(c.size)));
  const Stack down(c.dtype, transposed ? Shape{c.experts, c.width, c.size} : Shape{c.experts, c.size, c.width}, 2, 1 / std::sqrt(static_cast<float>(c.width)));
  const Stack up_bias(DType::bfloat16, {c.experts, parts * c.width}, 3, 0.5F), down_bias(DType::float32, {c.experts, c.size}, 4, 0.5F);
  const Floats x = random_floats(c.rows * c.size, 5), residual = random_floats(c.rows * c.size, 6), weights = random_floats(c.rows * c.top_k, 7, 0.5F);
  Ids ids;
  std::mt19937 random(8);
  for (std::int64_t r = 0; r < c.rows; ++r) {
    Ids order(static_cast<std::size_t>(c.experts));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, random);
    for (std::int64_t k = 0; k < c.top_k; ++k) ids.push_back(c.only >= 0 ? c.only : order[static_cast<std::size_t>(k)]);
  }

  test::EmulatedOptions options;
  options.order = c.order;
  options.memory_bytes = 64 << 20;
  const EmulatedAccelerator device(options);
  const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
  const DeviceArray<float> of_x(device, std::span(x)), of_residual(device, std::span(residual)), of_weights(device, std::span(weights));
  const DeviceArray<std::int64_t> of_ids(device, std::span(std::as_const(ids)));
  const DeviceArray<std::byte> of_up(device, std::span(up.bytes), c.offset_bytes), of_down(device, std::span(down.bytes), c.offset_bytes);
  const DeviceArray<std::byte> of_up_bias(device, std::span(up_bias.bytes)), of_down_bias(device, std::span(down_bias.bytes));
  const DeviceArray<float> y(device, x.size());
  ExpertWeights experts = c.layout;
  experts.gate_up = {c.dtype, up.view.shape, of_up.data()};
  experts.down = {c.dtype, down.view.shape, of_down.data()};
  const TensorView up_bias_view{DType::bfloat16, up_bias.view.shape, of_up_bias.data()}, down_bias_view{DType::float32, down_bias.view.shape, of_down_bias.data()};
  if (c.biases) {
    experts.gate_up_bias = &up_bias_view;
    experts.down_bias = &down_bias_view;
  }
  LinearEnd end;
  end.residual = c.residual ? of_residual.data() : nullptr;
  end.scale = c.scale;
  end.bf16_products = c.bf16_products;
  ops.experts(of_x.data(), c.rows, c.size, of_ids.data(), of_weights.data(), c.top_k, experts, y.data(), end);
  const Floats got = y.read();

  const double narrow = c.bf16_products && c.dtype == DType::bfloat16 && c.rows > kFewExpertRows ? 0x1p-9 : 0;
  const auto off = [&](std::int64_t terms) { return static_cast<double>(terms + 2) * 0x1p-24 + narrow; };
  const auto at = [](const Floats& values, std::int64_t i) { return static_cast<double>(values[static_cast<std::size_t>(i)]); };
  bool near = true;
  for (std::int64_t r = 0; r < c.rows; ++r) {
    std::vector<double> sum(static_cast<std::size_t>(c.size)), bound(sum);
    for (std::int64_t k = 0; k < c.top_k; ++k) {
      const std::int64_t e = ids[static_cast<std::size_t>(r * c.top_k + k)];
      const double weight = at(weights, r * c.top_k + k);
      std::vector<double> hidden, hidden_off;
      for (std::int64_t j = 0; j < c.width; ++j) {
        double product[2] = {}, size_of[2] = {};
        for (std::int64_t part = 0; part < parts; ++part) {
          const std::int64_t row = c.layout.interleaved && parts == 2 ? 2 * j + part : part * c.width + j;
          for (std::int64_t i = 0; i < c.size; ++i) {
            const double term = at(up.values, transposed ? (e * c.size + i) * parts * c.width + row : (e * parts * c.width + row) * c.size + i) * at(x, r * c.size + i);
            product[part] += term;
            size_of[part] += std::abs(term);
          }
          if (c.biases) product[part] += at(up_bias.values, e * parts * c.width + row);
          size_of[part] = off(c.size) * (size_of[part] + 1);
        }
        double gate = product[0];
        if (c.layout.clamped_swiglu) {
          gate = std::min(gate, static_cast<double>(c.layout.limit));
          const double u = std::clamp(product[1], -static_cast<double>(c.layout.limit), static_cast<double>(c.layout.limit));
          hidden.push_back((u + 1) * gate / (1 + std::exp(-gate * c.layout.alpha)));
          hidden_off.push_back(std::abs(u + 1) * (1 + std::abs(gate * c.layout.alpha)) * size_of[0] + std::abs(gate) * size_of[1]);
        } else {
          // No function of these is steeper than twice its argument, or 1.2.
          const double value = activate(c.layout.act, static_cast<float>(gate));
          hidden.push_back(c.layout.plain ? value : value * product[1]);
          hidden_off.push_back((c.layout.plain ? 1 : std::abs(product[1])) * (std::max(1.2, 2 * std::abs(gate)) * size_of[0] + 0x1p-22 * (1 + std::abs(value))) + std::abs(value) * size_of[1]);
        }
      }
      for (std::int64_t d = 0; d < c.size; ++d) {
        double product = c.biases ? at(down_bias.values, e * c.size + d) : 0, size_of = std::abs(product), carried = 0;
        for (std::int64_t j = 0; j < c.width; ++j) {
          const double w = at(down.values, transposed ? (e * c.width + j) * c.size + d : (e * c.size + d) * c.width + j);
          product += w * hidden[static_cast<std::size_t>(j)];
          size_of += std::abs(w * hidden[static_cast<std::size_t>(j)]);
          carried += std::abs(w) * hidden_off[static_cast<std::size_t>(j)];
        }
        sum[static_cast<std::size_t>(d)] += weight * product;
        bound[static_cast<std::size_t>(d)] += std::abs(weight) * (off(c.width + c.top_k) * size_of + carried);
      }
    }
    for (std::int64_t d = 0; d < c.size; ++d) {
      const double wanted = (c.residual ? at(residual, r * c.size + d) : 0) + c.scale * sum[static_cast<std::size_t>(d)];
      near = near && std::abs(at(got, r * c.size + d) - wanted) <= std::abs(c.scale) * bound[static_cast<std::size_t>(d)] + 0x1p-22 * (1 + std::abs(wanted));
    }
  }
  CHECK(near);
  return got;
}

constexpr DType kWeights[] = {DType::float32, DType::bfloat16, DType::float16, DType::q8_0, DType::q4_0};

}  // namespace

TEST_SUITE("ops/cuda/moe") {
  TEST_CASE("routers choose and weigh as the processor does") {
    using Score = RoutingRule::Score;
    RoutingRule rule;
    rule.experts = 48;
    rule.top_k = 6;
    const Floats logits = random_floats(5 * 48, 1, 2), bias = random_floats(48, 2, 0.1F);
    for (const Score score : {Score::softmax, Score::sigmoid, Score::softmax_after_top_k}) {
      for (const bool normalise : {false, true}) {
        for (const std::int64_t groups : {0, 8}) {
          for (const bool by_max : {false, true}) {
            rule.score = score;
            rule.normalise = normalise;
            rule.normalise_eps = normalise ? 1e-3F : 0;
            rule.scale = normalise ? 2.5F : 1;
            rule.groups = groups;
            rule.top_groups = groups / 2;
            rule.group_by_max = by_max;
            CAPTURE(static_cast<int>(score));
            CAPTURE(groups);
            check_route(rule, 5, logits);
            check_route(rule, 5, logits, bias);
            // More than the groups that are kept have.
            rule.top_k = 30;
            check_route(rule, 5, logits);
            rule.top_k = 6;
          }
        }
      }
    }
  }

  TEST_CASE("sparse mixer") {
    RoutingRule rule;
    rule.experts = 16;
    rule.top_k = 2;
    rule.score = RoutingRule::Score::sparse_mixer;
    rule.jitter = 0.1F;
    check_route(rule, 20, random_floats(20 * 16, 3));
  }

  TEST_CASE("equals go to the lower number, also among groups, and everything may be chosen") {
    RoutingRule rule;
    rule.experts = 40;
    rule.top_k = 8;
    rule.score = RoutingRule::Score::softmax_after_top_k;
    Floats logits(80, 1.0F);
    logits[37] = logits[33] = 2;
    check_route(rule, 2, logits);
    rule.groups = 10;
    rule.top_groups = 3;
    check_route(rule, 2, logits);
    rule.groups = 40;
    rule.top_groups = 9;
    check_route(rule, 2, logits);
    rule.groups = 0;
    rule.top_k = 40;
    check_route(rule, 2, logits);
  }

  TEST_CASE("a thousand experts, and not-a-numbers still give experts that exist") {
    RoutingRule rule;
    rule.experts = 1024;
    rule.top_k = 64;
    check_route(rule, 1, random_floats(1024, 4));
    const EmulatedAccelerator device;
    const KernelOps<EmulatorLauncher> ops(device, EmulatorLauncher(device));
    const Floats logits(1024, std::nanf(""));
    const DeviceArray<float> in(device, std::span(logits)), weights(device, std::size_t{64});
    const DeviceArray<std::int64_t> ids(device, std::size_t{64});
    ops.route(in.data(), 1, rule, nullptr, ids.data(), weights.data());
    const Ids got = ids.read();
    CHECK(std::ranges::all_of(got, [](std::int64_t id) { return id >= 0 && id < 1024; }));
    rule.experts = 1025;
    CHECK_THROWS_WITH_AS(ops.route(in.data(), 1, rule, nullptr, ids.data(), weights.data()), "router: expected at most 1024 experts and 64 chosen, got 1025 and 64", UnsupportedError);
  }

  TEST_CASE("experts of every dtype and layout, few rows and many") {
    for (const DType dtype : kWeights) {
      for (const std::int64_t rows : {3, 40}) {
        for (int layout = 0; layout < 5; ++layout) {
          ExpertCase c;
          c.dtype = dtype;
          c.rows = rows;
          c.layout.act = Activation::silu;
          c.layout.transposed = layout >= 2;
          c.layout.interleaved = layout == 3;
          c.layout.plain = layout == 1 || layout == 4;
          if (c.layout.plain) c.layout.act = Activation::relu_squared;
          CAPTURE(name(dtype));
          CAPTURE(rows);
          CAPTURE(layout);
          run_experts(c);
          c.biases = c.residual = true;
          c.scale = 0.5F;
          c.top_k = 3;
          c.size = 96;
          c.width = 96;
          c.order = 1;
          run_experts(c);
        }
      }
    }
  }

  TEST_CASE("sizes that are no multiples of anything, and matrices that are not aligned") {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
      for (const std::int64_t rows : {1, 17, 33}) {
        for (const bool transposed : {false, true}) {
          for (const bool interleaved : {false, true}) {
            ExpertCase c;
            c.dtype = dtype;
            c.rows = rows;
            c.size = 37;
            c.width = 43;
            c.layout.act = Activation::gelu_tanh;
            c.layout.transposed = transposed;
            c.layout.interleaved = interleaved;
            c.biases = true;
            c.order = 7;
            run_experts(c);
            c.size = 64;
            c.width = 72;
            c.offset_bytes = 4;
            run_experts(c);
          }
        }
      }
    }
  }

  TEST_CASE("gpt-oss: gate and up alternate in transposed matrices, clamped, with biases") {
    for (const std::int64_t rows : {2, 20}) {
      ExpertCase c;
      c.dtype = DType::bfloat16;
      c.rows = rows;
      c.layout.transposed = c.layout.interleaved = c.layout.clamped_swiglu = true;
      c.layout.alpha = 1.702F;
      c.layout.limit = 1;
      c.biases = true;
      run_experts(c);
    }
  }

  TEST_CASE("on tensor cores, rounded to bfloat16") {
    for (int layout = 0; layout < 4; ++layout) {
      ExpertCase c;
      c.dtype = DType::bfloat16;
      c.rows = 50;
      c.size = layout == 0 ? 96 : 70;
      c.width = layout == 0 ? 64 : 50;
      c.layout.act = Activation::silu;
      c.layout.transposed = layout >= 2;
      c.layout.interleaved = layout == 2;
      c.layout.plain = layout == 3;
      c.bf16_products = c.biases = true;
      run_experts(c);
    }
  }

  TEST_CASE("one expert has all the slots, in several tiles, and others none") {
    ExpertCase c;
    c.rows = 70;
    c.only = 3;
    c.layout.act = Activation::silu;
    run_experts(c);
    c.experts = 300;
    run_experts(c);
  }

  TEST_CASE("bits do not depend on the order of threads, nor on other rows") {
    for (const std::int64_t rows : {4, 40}) {
      ExpertCase c;
      c.rows = rows;
      c.layout.act = Activation::silu;
      c.top_k = 5;
      const Floats wanted = run_experts(c);
      for (const unsigned order : {1U, 2U, 9U}) {
        c.order = order;
        CHECK(run_experts(c) == wanted);
      }
    }
  }

  TEST_CASE("shapes of launches") {
    CHECK(rows_of_pass(100, 8, 4096, 1536) == 100);
    const std::int64_t rows = rows_of_pass(1'000'000, 8, 4096, 1536);
    CHECK(rows % kExpertTile == 0);
    CHECK(rows * 8 * (4096 + 1536) * 4 <= kExpertScratchBytes);
    CHECK(rows_of_pass(1000, 64, 1 << 20, 1 << 20) == kExpertTile);
    CHECK(most_tiles(rows_of_pass(1'000'000, 8, 32, 32) * 8, 1024) <= 65535);
    CHECK(most_tiles(1, 8) == 1);
    CHECK(most_tiles(129, 8) == 10);
    CHECK(few_up_shape(8, 33, false, false).grid_x == 3);
    CHECK(few_up_shape(8, 33, true, false).grid_x == 2);
    CHECK(few_up_shape(8, 33, true, true).grid_x == 1);
    CHECK(expert_tile_shape(3, 65, true).grid_x == 3);
    RoutingRule rule;
    rule.experts = rule.groups = kMostExperts;
    CHECK(route_shape(7, rule).shared_bytes <= 48 << 10);
  }
}
