// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generation/logits_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace bigmodel {
namespace {

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

std::vector<float> softmax(std::span<const float> scores) {
  const float top = *std::ranges::max_element(scores);
  double sum = 0;
  for (const float s : scores) sum += std::exp(static_cast<double>(s) - top);
  std::vector<float> out;
  out.reserve(scores.size());
  for (const float s : scores) out.push_back(static_cast<float>(std::exp(static_cast<double>(s) - top) / sum));
  return out;
}

/// Indices from the largest value on; equal ones in their order.
std::vector<std::size_t> descending(std::span<const float> values) {
  std::vector<std::size_t> out(values.size());
  std::iota(out.begin(), out.end(), std::size_t{0});
  std::ranges::stable_sort(out, [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  return out;
}

/// Removes tokens less likely than `least`, but never the `min_keep` likeliest.
void remove_below(Scores scores, std::span<const float> probabilities, float least, std::int64_t min_keep) {
  std::vector<float> sorted(scores.begin(), scores.end());
  const auto keep = static_cast<std::size_t>(std::clamp<std::int64_t>(min_keep, 1, static_cast<std::int64_t>(scores.size())));
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(keep) - 1, std::greater<>());
  const float kept = sorted[keep - 1];
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (probabilities[i] < least && scores[i] < kept) scores[i] = kRemoved;
  }
}

double entropy_of(std::span<const float> log_probabilities) {
  double out = 0;
  for (const float l : log_probabilities) {
    if (l > kRemoved) out -= std::exp(static_cast<double>(l)) * l;
  }
  return out;
}

bool is_token(Scores scores, std::int64_t id) { return id >= 0 && id < static_cast<std::int64_t>(scores.size()); }

}  // namespace

std::vector<float> log_softmax(std::span<const float> scores) {
  const float top = *std::ranges::max_element(scores);
  double sum = 0;
  for (const float s : scores) sum += std::exp(static_cast<double>(s) - top);
  const double shift = top + std::log(sum);
  std::vector<float> out;
  out.reserve(scores.size());
  for (const float s : scores) out.push_back(static_cast<float>(s - shift));
  return out;
}

void temperature_rule(Scores scores, float temperature) {
  for (float& s : scores) s /= temperature;
}

void top_k_rule(Scores scores, std::int64_t top_k, std::int64_t min_keep) {
  const auto k = static_cast<std::size_t>(std::clamp<std::int64_t>(std::max(top_k, min_keep), 1, static_cast<std::int64_t>(scores.size())));
  std::vector<float> sorted(scores.begin(), scores.end());
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(k) - 1, std::greater<>());
  const float last = sorted[k - 1];
  for (float& s : scores) {
    if (s < last) s = kRemoved;
  }
}

void top_p_rule(Scores scores, double top_p, std::int64_t min_keep) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  const std::vector<float> p = softmax(scores);
  const auto limit = static_cast<float>(1.0 - top_p);
  float sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    sum += p[order[i]];
    if (sum <= limit && static_cast<std::int64_t>(order.size() - i) > std::max<std::int64_t>(min_keep, 1)) scores[order[i]] = kRemoved;
  }
}

void min_p_rule(Scores scores, float min_p, std::int64_t min_keep) {
  const std::vector<float> p = softmax(scores);
  const float least = min_p * *std::ranges::max_element(p);
  const std::vector<std::size_t> order = descending(p);
  for (std::size_t i = static_cast<std::size_t>(std::max<std::int64_t>(min_keep, 0)); i < order.size(); ++i) {
    if (p[order[i]] < least) scores[order[i]] = kRemoved;
  }
}

void typical_rule(Scores scores, float mass, std::int64_t min_keep) {
  const std::vector<float> l = log_softmax(scores);
  const auto entropy = static_cast<float>(entropy_of(l));
  std::vector<float> distance;
  for (const float v : l) distance.push_back(std::abs(-v - entropy));
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return distance[a] < distance[b]; });
  float sum = 0;
  std::size_t last = 0;
  for (const std::size_t i : order) {
    sum += std::exp(l[i]);
    if (sum < mass) ++last;
  }
  const float limit = distance[order[std::min(last, order.size() - 1)]];
  for (std::size_t i = static_cast<std::size_t>(std::max<std::int64_t>(min_keep, 0)); i < order.size(); ++i) {
    if (distance[order[i]] > limit) scores[order[i]] = kRemoved;
  }
}

void epsilon_rule(Scores scores, float epsilon, std::int64_t min_keep) { remove_below(scores, softmax(scores), epsilon, min_keep); }

void eta_rule(Scores scores, float epsilon, std::int64_t min_keep) {
  const auto entropy = static_cast<float>(entropy_of(log_softmax(scores)));
  remove_below(scores, softmax(scores), std::min(epsilon, std::sqrt(epsilon) * std::exp(-entropy)), min_keep);
}

void top_h_rule(Scores scores, float top_h) {
  std::vector<std::size_t> order = descending(scores);
  std::vector<float> first;
  constexpr std::size_t kFirst = 100;
  for (std::size_t i = 0; i < std::min(kFirst, order.size()); ++i) first.push_back(scores[order[i]]);
  const std::vector<float> l = log_softmax(first);
  const auto limit = static_cast<float>(entropy_of(l)) * top_h;
  float sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i < l.size()) sum -= std::exp(l[i]) * l[i];
    if (i > 0 && (i >= l.size() || !(sum <= limit))) scores[order[i]] = kRemoved;
  }
}

void repetition_penalty_rule(Scores scores, TokenIds ids, float penalty) {
  for (const std::int64_t id : std::set<std::int64_t>(ids.begin(), ids.end())) {
    if (!is_token(scores, id)) continue;
    float& s = scores[static_cast<std::size_t>(id)];
    s = s < 0 ? s * penalty : s / penalty;
  }
}

void encoder_repetition_penalty_rule(Scores scores, TokenIds encoder_ids, float penalty) { repetition_penalty_rule(scores, encoder_ids, 1.0F / penalty); }

void no_repeat_ngram_rule(Scores scores, TokenIds ids, std::int64_t size) {
  const auto length = static_cast<std::int64_t>(ids.size());
  if (size <= 0 || length + 1 < size) return;
  const TokenIds tail = ids.last(static_cast<std::size_t>(size - 1));
  for (std::int64_t at = 0; at + size <= length; ++at) {
    const TokenIds part = ids.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(size - 1));
    const std::int64_t next = ids[static_cast<std::size_t>(at + size - 1)];
    if (std::ranges::equal(part, tail) && is_token(scores, next)) scores[static_cast<std::size_t>(next)] = kRemoved;
  }
}

void sequence_bias_rule(Scores scores, TokenIds ids, std::span<const std::pair<std::vector<std::int64_t>, float>> biases) {
  std::vector<float> sums(scores.size(), 0.0F);
  for (const auto& [sequence, bias] : biases) {
    if (sequence.empty() || !is_token(scores, sequence.back())) continue;
    const TokenIds before = TokenIds(sequence).first(sequence.size() - 1);
    if (!before.empty() && (sequence.size() > ids.size() || !std::ranges::equal(ids.last(before.size()), before))) continue;
    sums[static_cast<std::size_t>(sequence.back())] += bias;
  }
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] += sums[i];
}

void suppress_rule(Scores scores, TokenIds tokens) {
  for (const std::int64_t id : tokens) {
    if (is_token(scores, id)) scores[static_cast<std::size_t>(id)] = kRemoved;
  }
}

void force_rule(Scores scores, std::int64_t token) {
  std::ranges::fill(scores, kRemoved);
  if (is_token(scores, token)) scores[static_cast<std::size_t>(token)] = 0;
}

void exponential_decay_rule(Scores scores, std::int64_t length, std::int64_t start, float factor, TokenIds ends) {
  if (length <= start) return;
  const auto grown = static_cast<float>(std::pow(static_cast<double>(factor), static_cast<double>(length - start)) - 1);
  for (const std::int64_t id : ends) {
    if (is_token(scores, id)) scores[static_cast<std::size_t>(id)] += std::abs(scores[static_cast<std::size_t>(id)]) * grown;
  }
}

void finite_rule(Scores scores) {
  for (float& s : scores) {
    constexpr float kMost = std::numeric_limits<float>::max();
    s = std::isnan(s) ? 0 : std::clamp(s, -kMost, kMost);
  }
}

void normalize_rule(Scores scores) {
  const std::vector<float> l = log_softmax(scores);
  std::ranges::copy(l, scores.begin());
}

}  // namespace bigmodel
