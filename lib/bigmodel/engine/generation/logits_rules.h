// SPDX-License-Identifier: Apache-2.0
// What changes the scores of the next token before one is chosen: transformers' logits processors, one function each.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bigmodel {

using Scores = std::span<float>;               ///< one row, the whole vocabulary; removed tokens become minus infinity
using TokenIds = std::span<const std::int64_t>;  ///< the row so far, prompt and padding included

/// Of one row: the logarithms of its softmax. Sums in double.
std::vector<float> log_softmax(std::span<const float> scores);

void temperature_rule(Scores scores, float temperature);
/// Keeps the `top_k` largest and what equals the last of them.
void top_k_rule(Scores scores, std::int64_t top_k, std::int64_t min_keep = 1);
/// Keeps the likeliest tokens whose probabilities add up to top_p.
void top_p_rule(Scores scores, double top_p, std::int64_t min_keep = 1);
/// Keeps tokens at least min_p times as likely as the likeliest.
void min_p_rule(Scores scores, float min_p, std::int64_t min_keep = 1);
/// Keeps tokens whose surprise is nearest to the expected one, up to `mass`.
void typical_rule(Scores scores, float mass, std::int64_t min_keep = 1);
void epsilon_rule(Scores scores, float epsilon, std::int64_t min_keep = 1);
void eta_rule(Scores scores, float epsilon, std::int64_t min_keep = 1);
/// Keeps the likeliest tokens whose entropy adds up to top_h of that of the first hundred.
void top_h_rule(Scores scores, float top_h);
void repetition_penalty_rule(Scores scores, TokenIds ids, float penalty);
/// Tokens of the encoder's input become likelier where penalty > 1.
void encoder_repetition_penalty_rule(Scores scores, TokenIds encoder_ids, float penalty);
void no_repeat_ngram_rule(Scores scores, TokenIds ids, std::int64_t size);
/// Adds each bias to the last token of its sequence where the row ends in the tokens before it.
void sequence_bias_rule(Scores scores, TokenIds ids, std::span<const std::pair<std::vector<std::int64_t>, float>> biases);
void suppress_rule(Scores scores, TokenIds tokens);
/// Only one token is left.
void force_rule(Scores scores, std::int64_t token);
/// From `start` tokens on, the ends become likelier by factor^(tokens beyond start).
void exponential_decay_rule(Scores scores, std::int64_t length, std::int64_t start, float factor, TokenIds ends);
/// Not-a-numbers become 0, infinities the largest finite numbers.
void finite_rule(Scores scores);
void normalize_rule(Scores scores);

}  // namespace bigmodel
