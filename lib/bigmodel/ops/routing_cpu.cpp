// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "bigmodel/ops/routing.h"

namespace bigmodel::ops {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void softmax(std::vector<float>& x) {
  const float top = *std::ranges::max_element(x);
  float sum = 0;
  for (float& v : x) sum += v = std::exp(v - top);
  for (float& v : x) v /= sum;
}

/// The numbers of the `count` largest, largest first.
std::vector<std::int64_t> largest(const std::vector<float>& x, std::int64_t count) {
  std::vector<std::int64_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::partial_sort(order, order.begin() + count, [&](std::int64_t a, std::int64_t b) {
    const float left = x[static_cast<std::size_t>(a)];
    const float right = x[static_cast<std::size_t>(b)];
    return left > right || (left == right && a < b);
  });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

void sparse_mixer(const RoutingRule& rule, std::span<const float> logits, std::int64_t* ids, float* weights) {
  std::vector<float> left(logits.begin(), logits.end());
  for (int pick = 0; pick < 2; ++pick) {
    const std::int64_t best = largest(left, 1).front();
    const float top = left[static_cast<std::size_t>(best)];
    std::vector<float> near = left;
    for (std::size_t e = 0; e < near.size(); ++e) {
      // The reference measures the distance of the second pick with the logits as they were, so the first pick may seem near; it is
      // masked by itself.
      const float factor = std::max(std::abs(logits[e]), top);
      if ((top - logits[e]) / factor > 2 * rule.jitter) near[e] = kNever;
    }
    softmax(near);
    ids[pick] = best;
    weights[pick] = near[static_cast<std::size_t>(best)];
    left[static_cast<std::size_t>(best)] = kNever;
  }
}

}  // namespace

void route_row(const RoutingRule& rule, std::span<const float> logits, std::span<const float> choice_bias, std::int64_t* ids, float* weights) {
  const std::size_t experts = logits.size();
  if (rule.score == RoutingRule::Score::sparse_mixer) return sparse_mixer(rule, logits, ids, weights);
  std::vector<float> scores(logits.begin(), logits.end());
  if (rule.score == RoutingRule::Score::softmax) softmax(scores);
  if (rule.score == RoutingRule::Score::sigmoid) {
    for (float& v : scores) v = 1.0F / (1.0F + std::exp(-v));
  }
  std::vector<float> choice = scores;
  for (std::size_t e = 0; e < choice_bias.size(); ++e) choice[e] += choice_bias[e];
  if (rule.groups > 0) {
    const std::size_t size = experts / static_cast<std::size_t>(rule.groups);
    std::vector<float> of_group;
    for (std::size_t g = 0; g < static_cast<std::size_t>(rule.groups); ++g) {
      const std::vector<float> members(choice.begin() + static_cast<std::ptrdiff_t>(g * size), choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
      float value = 0;
      for (const std::int64_t e : largest(members, rule.group_by_max ? 1 : std::min<std::int64_t>(2, static_cast<std::int64_t>(size)))) value += members[static_cast<std::size_t>(e)];
      of_group.push_back(value);
    }
    const std::vector<std::int64_t> kept = largest(of_group, rule.top_groups);
    for (std::size_t e = 0; e < experts; ++e) {
      if (std::ranges::find(kept, static_cast<std::int64_t>(e / size)) == kept.end()) choice[e] = rule.group_by_max ? 0.0F : kNever;
    }
  }
  const std::vector<std::int64_t> chosen = largest(choice, rule.top_k);
  std::vector<float> w;
  for (const std::int64_t e : chosen) w.push_back((rule.group_by_max && rule.groups > 0 ? choice : scores)[static_cast<std::size_t>(e)]);
  if (rule.score == RoutingRule::Score::softmax_after_top_k) softmax(w);
  if (rule.normalise) {
    float sum = rule.normalise_eps;
    for (const float v : w) sum += v;
    for (float& v : w) v /= sum;
  }
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    ids[k] = chosen[k];
    weights[k] = w[k] * rule.scale;
  }
}

}  // namespace bigmodel::ops
