// SPDX-License-Identifier: Apache-2.0
// Beam search as transformers 5 does it: the likeliest continuations of each prompt side by side, finished ones ranked by length.
#pragma once

#include <vector>

#include "bigmodel/engine/generation/token_choice.h"

namespace bigmodel {

inline constexpr std::int64_t kMostBeams = 1024;

/// Goes on from `logits` ([prompts, any, vocabulary], the last position counts) of `prompts`, and fills the result's rows, scores and counts.
/// With options.sample the candidates of a step are drawn without replacement.
void search_beams(Decoding& decoding, Tensor logits, std::vector<RowSoFar> prompts, const GenerateOptions& options, GenerateResult& out);

}  // namespace bigmodel
