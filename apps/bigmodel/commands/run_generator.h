// SPDX-License-Identifier: Apache-2.0
// The generating side of `run`: batches of prompts in, tokens out as they come.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "commands/run_generation.h"
#include "commands/run_model.h"
#include "commands/run_text.h"

namespace bigmodel::app {

/// Goes through batches one after the other and gathers their results. One thread.
class Generator {
 public:
  /// `tokenizer` empty: ids in, ids out. All must outlive it.
  Generator(const GenerationConfig& config, const std::optional<tokenizer::Tokenizer>& tokenizer, const Options& options, Session& session, RunResult& result);

  /// New tokens and sequences that a batch of these prompts takes.
  RunSize size(const TokenBatch& prompt) const;

  enum class Shown { pieces, nothing, events };
  /// `pieces` writes the text of one row as it comes (with one row only), `events` a line of JSON for each token.
  /// Throws what generate() throws, and IoError where files that weights are streamed from change.
  void run(RunModel& model, const TokenBatch& prompt, Shown shown);

 private:
  const GenerationConfig& config_;
  const std::optional<tokenizer::Tokenizer>& tokenizer_;
  const Options& options_;
  Session& session_;
  RunResult& result_;
};

/// Prompts of ids as an encoder's inputs: padding goes behind the tokens there.
std::map<std::string, Tensor> encoder_inputs(const TokenBatch& prompt);

/// An encoder's inputs with a decoder that starts as the model's generation_config.json (else its config) says.
/// Throws UsageError for inputs that do not fit, FormatError where nothing says how it starts.
TokenBatch decoder_start(std::map<std::string, Tensor> inputs, const FoundModel& model);

}  // namespace bigmodel::app
