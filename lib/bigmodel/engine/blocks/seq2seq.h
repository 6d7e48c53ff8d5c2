// SPDX-License-Identifier: Apache-2.0
// Encoder-decoders with a language model head, and whisper's audio encoder.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Kind encoder_decoder: {decoder ids, encoder input} -> the decoder's states. Where the state has a memory already (a later step), the encoder
/// does not run. The encoder's padding is state.memory_valid, which the caller sets. Roles: encoder, decoder.
std::unique_ptr<BoundBlock> make_encoder_decoder(Roles& roles);

/// Kind seq2seq_lm: the same with logits. Roles: body, or encoder and decoder; head, bias, input_scale (of what the head reads).
std::unique_ptr<BoundBlock> make_seq2seq_lm(Roles& roles);

/// Kind audio_stack: features [batch, channels, frames] -> [batch, frames / 2, size] through two convolutions, then layers.
std::unique_ptr<BoundBlock> make_audio_stack(Roles& roles);

}  // namespace bigmodel
