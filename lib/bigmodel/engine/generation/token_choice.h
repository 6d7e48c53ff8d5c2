// SPDX-License-Identifier: Apache-2.0
// How one token is chosen from a row's scores, and when a row ends: what greedy search, draws and beams share.
#pragma once

#include <chrono>
#include <optional>
#include <random>
#include <vector>

#include "bigmodel/engine/generate.h"

namespace bigmodel {

/// A prompt with what has been chosen so far.
struct RowSoFar {
  std::vector<std::int64_t> ids;   ///< padding and prompt included
  std::size_t padding = 0;         ///< ids before the first token
};

std::vector<RowSoFar> rows_of(const TokenBatch& prompt);

/// The rules' scores of a row, in place.
void apply_rules(const std::vector<LogitsRule>& rules, const RowSoFar& row, Scores scores);

/// Throws FormatError where the score of a choice is no number, as with weights that are none.
void check_score(float score);

/// The first of the largest.
std::int64_t largest_of(std::span<const float> scores);

/// The softmax's share of each token on a line from 0 to 1, and where a random number falls on it.
std::int64_t drawn_from(std::span<const float> scores, std::mt19937_64& random);

/// Says why a row ends. One thread.
class EndOfRow {
 public:
  /// The clock of max_time_s starts here. `options` must outlive it.
  explicit EndOfRow(const GenerateOptions& options) : options_(options), start_(std::chrono::steady_clock::now()) {}

  /// Of a row whose last token has just been chosen, the `count`th new one; empty where it goes on.
  std::optional<FinishReason> reason(TokenIds ids, std::int64_t count) const;

 private:
  const GenerateOptions& options_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace bigmodel
