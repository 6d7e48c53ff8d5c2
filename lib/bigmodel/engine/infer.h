// SPDX-License-Identifier: Apache-2.0
// One pass of a model that does not generate: named inputs in, named outputs out, under the reference's names.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/engine/loaded_model.h"

namespace bigmodel {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Text encoders: input_ids int64 [batch, length], attention_mask (1 for tokens; optional), token_type_ids (optional). Gives
/// last_hidden_state, pooler_output, logits, start_logits, end_logits, ... . Encoder-decoders take input_ids or input_features for the encoder and
/// decoder_input_ids, and give encoder_last_hidden_state besides. Vision models take pixel_values float32 [batch, channels, height, width], two
/// towers both, models of text and images input_ids, pixel_values and, where they take patches, image_grid_thw;
/// towers of patches by themselves hidden_states float32 [patches, values] and grid_thw int64 [images, 3]; audio encoders input_values float32 [batch, samples]
/// with an attention_mask of that shape where they want one. Throws UsageError for missing or misshapen inputs.
NamedTensors infer(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work = {});

/// Whether the model continues token ids (engine/generate.h).
bool generates(const MetaGraph& graph);

/// Whether it has an encoder's input besides the ids that it continues.
bool is_encoder_decoder(const MetaGraph& graph);

}  // namespace bigmodel
