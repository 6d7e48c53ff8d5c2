// SPDX-License-Identifier: Apache-2.0
// How `run` chooses tokens: generation_config.json under what the call says.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/engine/generate.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "commands/model_argument.h"

namespace bigmodel::app {

inline constexpr std::int64_t kDefaultNewTokens = 128;

/// Rows of the option table: --greedy, --temperature, --num-beams, --stop, --bad-words, --max-new-tokens and their like.
std::vector<OptionSpec> generation_option_rows();

/// The model's generation_config.json (else its config's own keys), overwritten by --generation-config, and that by the options of their own.
/// `tokenizer`: of the prompts; null where they are token ids, for which the model's own keys are left aside. Throws FormatError, UsageError, IoError.
GenerationConfig run_generation_config(const Options& options, const FoundModel& model, bool demo, const tokenizer::Tokenizer* tokenizer);

/// New tokens of a prompt: --max-new-tokens, else the config's, else what its max_length leaves, else 128; no more than --context leaves.
/// Throws CapacityError for a prompt that is longer than --context.
std::int64_t new_token_limit(const GenerationConfig& config, const Options& options, std::int64_t prompt_length);

/// Everything but callbacks and threads. `encoder_ids`: of the encoder's input where there is one row.
GenerateOptions generate_options(const GenerationConfig& config, const Options& options, const TokenBatch& prompt, std::int64_t new_tokens);

/// Whether a row ends in text that holds one of the strings, completed by its last token. One thread.
class StopStrings {
 public:
  StopStrings(tokenizer::Tokenizer tokenizer, std::vector<std::string> strings);
  bool operator()(TokenIds ids) const;

 private:
  tokenizer::Tokenizer tokenizer_;
  std::vector<std::string> strings_;
  std::size_t reach_ = 0;   ///< tokens that can take part: one for each byte of the longest string
};

}  // namespace bigmodel::app
