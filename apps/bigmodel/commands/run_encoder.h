// SPDX-License-Identifier: Apache-2.0
// The side of `run` that does not generate: one pass, and what its outputs mean.
#pragma once

#include <optional>

#include "commands/run_input.h"
#include "commands/run_model.h"

namespace bigmodel::app {

/// Texts, ids or named tensors in; answers (run_answers.h) out, every output with --logits.
ExitStatus run_encoder(RunModel& model, const RunInput& input, const std::optional<tokenizer::Tokenizer>& tokenizer, const Options& options, Session& session);

}  // namespace bigmodel::app
