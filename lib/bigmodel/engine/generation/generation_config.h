// SPDX-License-Identifier: Apache-2.0
// How tokens are chosen and when a row ends: the keys of generation_config.json, and the rules about scores that follow from them, in
// transformers' order.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/engine/generation/logits_rules.h"

namespace bigmodel {

/// When beam search is content: with as many finished sequences as beams; where none of the running ones seems better; where none can be.
enum class EarlyStopping { yes, no, never };

/// Absent values do nothing.
struct GenerationConfig {
  bool do_sample = false;
  std::int64_t num_beams = 1, num_return_sequences = 1;
  double length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::no;
  std::optional<std::int64_t> max_new_tokens, max_length;   ///< max_length counts the prompt too; max_new_tokens goes before it
  std::optional<double> max_time;                           ///< seconds
  std::vector<std::string> stop_strings;
  std::optional<double> temperature, top_p, min_p, typical_p, epsilon_cutoff, eta_cutoff, top_h, repetition_penalty, encoder_repetition_penalty;
  std::optional<std::int64_t> top_k, no_repeat_ngram_size, min_length, min_new_tokens, forced_bos_token_id;
  std::vector<std::vector<std::int64_t>> bad_words_ids;
  std::vector<std::pair<std::vector<std::int64_t>, float>> sequence_bias;
  std::vector<std::int64_t> suppress_tokens, begin_suppress_tokens, forced_eos_token_id, eos_token_id;
  std::optional<std::pair<std::int64_t, double>> exponential_decay_length_penalty;
  bool renormalize_logits = false, remove_invalid_values = false;
  std::vector<std::string> not_followed;   ///< keys that ask for what is not done here, such as guidance_scale
  std::vector<std::string> not_known;      ///< keys that transformers does not have either: typing mistakes, or a model's own
};

/// From the text of a generation_config.json; unknown keys are passed over. `where` names it in errors. Throws FormatError for a value of
/// the wrong kind or out of range.
GenerationConfig parse_generation_config(std::string_view text, const std::string& where);

/// The value that transformers' generate fills in where tokens are drawn and nothing says from how many.
inline constexpr std::int64_t kReferenceTopK = 50;

struct LogitsRule {
  std::string_view name;   ///< of the reference's class
  std::function<void(TokenIds ids, Scores scores)> apply;
  bool without_padding = false;   ///< `ids` are to begin at the row's first token that is no padding
};

/// `prompt_length` counts padding too; `max_length` is that of prompt and new tokens; `encoder_ids` the encoder's input, or empty.
std::vector<LogitsRule> logits_rules(const GenerationConfig& config, std::int64_t prompt_length, std::int64_t max_length, std::vector<std::int64_t> encoder_ids = {});

}  // namespace bigmodel
