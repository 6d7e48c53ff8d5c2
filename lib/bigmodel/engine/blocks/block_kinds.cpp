// SPDX-License-Identifier: Apache-2.0
// The kinds of blocks that this engine runs, by the names that descriptions use.
#include <array>
#include <utility>

#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/attention.h"
#include "bigmodel/engine/blocks/audio.h"
#include "bigmodel/engine/blocks/conv_stages.h"
#include "bigmodel/engine/blocks/decoder.h"
#include "bigmodel/engine/blocks/disentangled_attention.h"
#include "bigmodel/engine/blocks/encoder.h"
#include "bigmodel/engine/blocks/latent_attention.h"
#include "bigmodel/engine/blocks/layer.h"
#include "bigmodel/engine/blocks/mamba.h"
#include "bigmodel/engine/blocks/mlp.h"
#include "bigmodel/engine/blocks/moe.h"
#include "bigmodel/engine/blocks/norm.h"
#include "bigmodel/engine/blocks/positions.h"
#include "bigmodel/engine/blocks/recurrent.h"
#include "bigmodel/engine/blocks/seq2seq.h"
#include "bigmodel/engine/blocks/shared_layer.h"
#include "bigmodel/engine/blocks/vision.h"
#include "bigmodel/engine/blocks/vision_language.h"
#include "bigmodel/engine/blocks/window_attention.h"

namespace bigmodel {

BlockMaker find_block_maker(std::string_view kind) {
  static constexpr std::pair<std::string_view, BlockMaker> kKinds[] = {
      {"attention", &make_attention},
      {"attention_pool", &make_attention_pool},
      {"audio_stack", &make_audio_stack},
      {"causal_lm", &make_causal_lm},
      {"conv_norm_act", &make_conv_norm_act},
      {"conv_feature_layer", &make_conv_feature_layer},
      {"conv_positions", &make_conv_positions},
      {"convnext", &make_convnext},
      {"convnext_layer", &make_convnext_layer},
      {"convnext_stage", &make_convnext_stage},
      {"decoder", &make_decoder},
      {"disentangled_attention", &make_disentangled_attention},
      {"embeddings", &make_embeddings},
      {"encoder", &make_encoder},
      {"encoder_decoder", &make_encoder_decoder},
      {"experts", &make_experts},
      {"first_layer_conv", &make_first_layer_conv},
      {"gated_delta_net", &make_gated_delta_net},
      {"gated_linear_recurrence", &make_gated_linear_recurrence},
      {"gated_mlp", &make_gated_mlp},
      {"head", &make_head},
      {"latent_attention", &make_latent_attention},
      {"layer_norm", &make_layer_norm},
      {"mamba", &make_mamba},
      {"mamba2", &make_mamba2},
      {"mlp", &make_mlp},
      {"moe", &make_moe},
      {"norm_per_head", &make_norm_per_head},
      {"parallel_layer", &make_parallel_layer},
      {"patch_merger", &make_patch_merger},
      {"patch_rows", &make_patch_rows},
      {"patch_tower", &make_patch_tower},
      {"postnorm_layer", &make_postnorm_layer},
      {"prenorm_layer", &make_prenorm_layer},
      {"residual", &make_residual},
      {"resnet", &make_resnet},
      {"rms_norm", &make_rms_norm},
      {"rwkv_channel_mix", &make_rwkv_channel_mix},
      {"rwkv_time_mix", &make_rwkv_time_mix},
      {"sandwich_layer", &make_prenorm_layer},
      {"seq2seq_lm", &make_seq2seq_lm},
      {"shared_before_mamba", &make_shared_before_mamba},
      {"shared_layer", &make_shared_layer},
      {"shared_layers", &make_shared_layers},
      {"short_conv", &make_short_conv},
      {"sinusoidal_positions", &make_sinusoidal_positions},
      {"stack", &make_stack},
      {"two_tower", &make_two_tower},
      {"vision_embeddings", &make_vision_embeddings},
      {"vision_language", &make_vision_language},
      {"waveform_encoder", &make_waveform_encoder},
      {"window_attention", &make_window_attention},
      {"window_stage", &make_window_stage},
  };
  for (const auto& [name, maker] : kKinds) {
    if (name == kind) return maker;
  }
  return nullptr;
}

}  // namespace bigmodel
