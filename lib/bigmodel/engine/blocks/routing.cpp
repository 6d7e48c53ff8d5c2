// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/routing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/roles.h"

namespace bigmodel {
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

}  // namespace

Routing::Routing(Roles& roles)
    : top_k_(roles.integer("top_k")), groups_(roles.integer("groups", 0)), top_groups_(roles.integer("top_groups", 0)),
      normalise_(roles.boolean("normalise", false)), scale_(roles.number("scale", 1.0F)), jitter_(roles.number("jitter", 0.0F)) {
  const std::string score = roles.text("score", "");
  const std::string group_score = roles.text("group_score", "top2_sum");
  if (score == "softmax") {
    score_ = Score::softmax;
  } else if (score == "sigmoid") {
    score_ = Score::sigmoid;
  } else if (score == "softmax_after_top_k") {
    score_ = Score::softmax_after_top_k;
  } else if (score == "sparse_mixer") {
    score_ = Score::sparse_mixer;
    if (top_k_ != 2) roles.refuse("top_k", fmt::format("{} with a router that picks two", top_k_));
  } else {
    roles.refuse("score", fmt::format("unknown '{}'", score));
  }
  normalise_eps_ = roles.number("normalise_eps", score_ == Score::sigmoid ? 1e-20F : 0.0F);
  if (group_score != "top2_sum" && group_score != "max") roles.refuse("group_score", fmt::format("unknown '{}'", group_score));
  group_by_max_ = group_score == "max";
  if (top_k_ <= 0 || (groups_ > 0 && (top_groups_ <= 0 || top_groups_ > groups_))) roles.refuse("top_k", fmt::format("{} in {} of {} groups", top_k_, top_groups_, groups_));
}

void Routing::route(std::span<const float> logits, std::span<const float> choice_bias, std::int64_t* ids, float* weights) const {
  const std::size_t experts = logits.size();
  if (score_ == Score::sparse_mixer) return sparse_mixer(logits, ids, weights);
  std::vector<float> scores(logits.begin(), logits.end());
  if (score_ == Score::softmax) softmax(scores);
  if (score_ == Score::sigmoid) {
    for (float& v : scores) v = 1.0F / (1.0F + std::exp(-v));
  }
  std::vector<float> choice = scores;
  for (std::size_t e = 0; e < choice_bias.size(); ++e) choice[e] += choice_bias[e];
  if (groups_ > 0) {
    const std::size_t size = experts / static_cast<std::size_t>(groups_);
    std::vector<float> of_group;
    for (std::size_t g = 0; g < static_cast<std::size_t>(groups_); ++g) {
      const std::vector<float> members(choice.begin() + static_cast<std::ptrdiff_t>(g * size), choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
      float value = 0;
      for (const std::int64_t e : largest(members, group_by_max_ ? 1 : std::min<std::int64_t>(2, static_cast<std::int64_t>(size)))) value += members[static_cast<std::size_t>(e)];
      of_group.push_back(value);
    }
    const std::vector<std::int64_t> kept = largest(of_group, top_groups_);
    for (std::size_t e = 0; e < experts; ++e) {
      if (std::ranges::find(kept, static_cast<std::int64_t>(e / size)) == kept.end()) choice[e] = group_by_max_ ? 0.0F : kNever;
    }
  }
  const std::vector<std::int64_t> chosen = largest(choice, top_k_);
  std::vector<float> w;
  for (const std::int64_t e : chosen) w.push_back((group_by_max_ && groups_ > 0 ? choice : scores)[static_cast<std::size_t>(e)]);
  if (score_ == Score::softmax_after_top_k) softmax(w);
  if (normalise_) {
    float sum = normalise_eps_;
    for (const float v : w) sum += v;
    for (float& v : w) v /= sum;
  }
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    ids[k] = chosen[k];
    weights[k] = w[k] * scale_;
  }
}

void Routing::sparse_mixer(std::span<const float> logits, std::int64_t* ids, float* weights) const {
  std::vector<float> left(logits.begin(), logits.end());
  for (int pick = 0; pick < 2; ++pick) {
    const std::int64_t best = largest(left, 1).front();
    const float top = left[static_cast<std::size_t>(best)];
    std::vector<float> near = left;
    for (std::size_t e = 0; e < near.size(); ++e) {
      // The reference measures the distance of the second pick with the logits as they were, so the first pick may seem near; it is
      // masked by itself.
      const float factor = std::max(std::abs(logits[e]), top);
      if ((top - logits[e]) / factor > 2 * jitter_) near[e] = kNever;
    }
    softmax(near);
    ids[pick] = best;
    weights[pick] = near[static_cast<std::size_t>(best)];
    left[static_cast<std::size_t>(best)] = kNever;
  }
}

}  // namespace bigmodel
