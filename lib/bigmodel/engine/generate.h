// SPDX-License-Identifier: Apache-2.0
// Generation: the prompt in one pass, then a token a pass, chosen greedily, by drawing, or among beams.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "bigmodel/engine/generation/decoding.h"
#include "bigmodel/engine/generation/generation_config.h"

namespace bigmodel {

/// Pads on the left, as decoders want it. Throws UsageError where a prompt is empty or there is none.
TokenBatch pad_left(const std::vector<std::vector<std::int64_t>>& prompts, std::int64_t pad_id);

enum class FinishReason { length, eos, stop };   ///< length: a limit, of tokens or of time
std::string_view to_string(FinishReason reason) noexcept;

struct GenerateOptions {
  std::int64_t max_new_tokens = 64;
  std::optional<double> max_time_s;     ///< after it the token in work is the last one
  std::vector<std::int64_t> eos_ids;    ///< any of them ends a row; the token itself is the row's last
  /// Whether a row (prompt, padding and new tokens) ends with its last token, as stop strings ask.
  std::function<bool(TokenIds ids)> stops;
  std::int64_t pad_id = 0;              ///< given to rows that have ended while others go on
  std::vector<LogitsRule> rules;        ///< what the scores go through before a token is chosen, in order
  bool sample = false;                  ///< draws from the scores' softmax; else the largest is taken
  std::uint64_t seed = 0;               ///< of the draws: the same seed gives the same tokens
  std::int64_t beams = 1;               ///< more: the likeliest continuations are followed side by side (transformers' beam search)
  double length_penalty = 1;            ///< a beam's score is its log probability / new tokens^this
  EarlyStopping early_stopping = EarlyStopping::no;
  std::int64_t return_sequences = 1;    ///< of each prompt; more need beams (at least as many) or draws
  bool use_cache = true;                ///< false: every step runs the whole sequence again
  DType cache_dtype = DType::float32;   ///< of keys and values in RAM: float32, bfloat16 or float16, which round them
  bool all_logits = false;              ///< of the prompt, in GenerateResult::logits
  bool logprobs = false;                ///< in GenerateResult::logprobs
  /// Called for every token as soon as it is known; with beams after the search. `row` counts the result's rows; `logprob` is 0 unless
  /// they are asked for.
  std::function<void(std::int64_t row, std::int64_t id, float logprob)> on_token;
  WorkContext work;
};

/// Rows: return_sequences of the first prompt, those of the second, ...
struct GenerateResult {
  std::vector<std::vector<std::int64_t>> ids;   ///< new ones of each row, without padding behind its end
  std::vector<FinishReason> finish;
  std::vector<std::vector<float>> logprobs;     ///< of each new token, under the model's own softmax (before rules), where asked for
  std::vector<double> scores;                   ///< of beams, best first within a prompt; empty without
  Tensor logits;                                ///< [rows, length, vocabulary] of the prompt, where asked for
  double prefill_s = 0, decode_s = 0;
  std::int64_t decode_steps = 0;
  std::uint64_t cache_bytes = 0;
};

/// Greedy search takes the largest score, the lowest id among equals. Throws UsageError for counts that do not go together, and FormatError where scores
/// are no numbers, and what the model's forward throws.
GenerateResult generate(LoadedModel& model, const TokenBatch& prompt, const GenerateOptions& options);

}  // namespace bigmodel
