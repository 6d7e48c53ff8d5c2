// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generation/token_choice.h"

#include <algorithm>
#include <cmath>

#include "bigmodel/core/error.h"

namespace bigmodel {

std::vector<RowSoFar> rows_of(const TokenBatch& prompt) {
  std::vector<RowSoFar> out(static_cast<std::size_t>(prompt.rows));
  for (std::size_t r = 0; r < out.size(); ++r) {
    const auto from = static_cast<std::ptrdiff_t>(r) * prompt.length;
    out[r].ids.assign(prompt.ids.begin() + from, prompt.ids.begin() + from + prompt.length);
    while (!prompt.valid.empty() && out[r].padding < out[r].ids.size() && prompt.valid[static_cast<std::size_t>(from) + out[r].padding] == 0) ++out[r].padding;
  }
  return out;
}

void apply_rules(const std::vector<LogitsRule>& rules, const RowSoFar& row, Scores scores) {
  for (const LogitsRule& rule : rules) rule.apply(TokenIds(row.ids).subspan(rule.without_padding ? row.padding : 0), scores);
}

void check_score(float score) {
  if (!std::isnan(score)) return;
  throw FormatError("the scores of the next token: are no numbers (NaN), expected finite ones", "look for NaN and infinite weights with --check, or run in a wider --dtype");
}

std::int64_t largest_of(std::span<const float> scores) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < scores.size(); ++i) {
    if (scores[i] > scores[best]) best = i;
  }
  return static_cast<std::int64_t>(best);
}

std::int64_t drawn_from(std::span<const float> scores, std::mt19937_64& random) {
  const float top = *std::ranges::max_element(scores);
  double total = 0;
  for (const float s : scores) total += std::exp(static_cast<double>(s) - top);
  double left = static_cast<double>(random() >> 11) * 0x1p-53 * total;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double share = std::exp(static_cast<double>(scores[i]) - top);
    if (share > 0 && left < share) return static_cast<std::int64_t>(i);
    left -= share;
  }
  return largest_of(scores);
}

std::optional<FinishReason> EndOfRow::reason(TokenIds ids, std::int64_t count) const {
  if (std::ranges::find(options_.eos_ids, ids.back()) != options_.eos_ids.end()) return FinishReason::eos;
  if (options_.stops && options_.stops(ids)) return FinishReason::stop;
  if (count >= options_.max_new_tokens) return FinishReason::length;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  return options_.max_time_s && passed.count() > *options_.max_time_s ? std::optional(FinishReason::length) : std::nullopt;
}

}  // namespace bigmodel
