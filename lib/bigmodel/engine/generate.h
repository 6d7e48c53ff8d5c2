// SPDX-License-Identifier: Apache-2.0
// Generation with a decoder: the prompt in one pass, then a token a pass.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bigmodel/engine/big_modeling.h"
#include "bigmodel/engine/generation/generation_config.h"

namespace bigmodel {

/// Prompts of a batch, padded to one length.
struct TokenBatch {
  std::int64_t rows = 0, length = 0;
  std::vector<std::int64_t> ids;        ///< [rows, length]
  std::vector<std::uint8_t> valid;      ///< [rows, length], 0 for padding; empty: no padding
  Tensor encoder_input;                 ///< of encoder-decoders: ids [rows, encoder length] or features; `ids` then start the decoder
  std::vector<std::uint8_t> encoder_valid;   ///< [rows, encoder length], 0 for padding; empty: no padding
};

/// Pads on the left, as decoders want it. Throws UsageError where a prompt is empty or there is none.
TokenBatch pad_left(const std::vector<std::vector<std::int64_t>>& prompts, std::int64_t pad_id);

enum class FinishReason { length, eos, stop };
std::string_view to_string(FinishReason reason) noexcept;

struct GenerateOptions {
  std::int64_t max_new_tokens = 64;
  std::vector<std::int64_t> eos_ids;    ///< any of them ends a row; the token itself is the row's last
  std::int64_t pad_id = 0;              ///< given to rows that have ended while others go on
  std::vector<LogitsRule> rules;        ///< what the scores go through before a token is chosen, in order
  bool sample = false;                  ///< draws from the scores' softmax; else the largest is taken
  std::uint64_t seed = 0;               ///< of the draws: the same seed gives the same tokens
  bool use_cache = true;                ///< false: every step runs the whole sequence again
  bool all_logits = false;              ///< of the prompt, in GenerateResult::logits
  /// Called for every token as soon as it is known.
  std::function<void(std::int64_t row, std::int64_t id)> on_token;
  WorkContext work;
};

struct GenerateResult {
  std::vector<std::vector<std::int64_t>> ids;   ///< new ones of each row, without padding behind its end
  std::vector<FinishReason> finish;
  Tensor logits;                                ///< [rows, length, vocabulary] of the prompt, where asked for
  double prefill_s = 0, decode_s = 0;
  std::int64_t decode_steps = 0;
  std::uint64_t cache_bytes = 0;
};

/// Greedy search takes the largest score, the lowest id among equals. Throws what the model's forward throws.
GenerateResult generate(LoadedModel& model, const TokenBatch& prompt, const GenerateOptions& options);

}  // namespace bigmodel
