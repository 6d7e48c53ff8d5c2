// SPDX-License-Identifier: Apache-2.0
// The kinds of blocks that this engine runs, by the names that descriptions use.
#include <array>
#include <utility>

#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/attention.h"
#include "bigmodel/engine/blocks/decoder.h"
#include "bigmodel/engine/blocks/layer.h"
#include "bigmodel/engine/blocks/mlp.h"
#include "bigmodel/engine/blocks/norm.h"
#include "bigmodel/engine/blocks/positions.h"

namespace bigmodel {

BlockMaker find_block_maker(std::string_view kind) {
  static constexpr std::pair<std::string_view, BlockMaker> kKinds[] = {
      {"attention", &make_attention},
      {"causal_lm", &make_causal_lm},
      {"decoder", &make_decoder},
      {"gated_mlp", &make_gated_mlp},
      {"layer_norm", &make_layer_norm},
      {"mlp", &make_mlp},
      {"norm_per_head", &make_norm_per_head},
      {"parallel_layer", &make_parallel_layer},
      {"postnorm_layer", &make_postnorm_layer},
      {"prenorm_layer", &make_prenorm_layer},
      {"rms_norm", &make_rms_norm},
      {"sandwich_layer", &make_prenorm_layer},
      {"sinusoidal_positions", &make_sinusoidal_positions},
  };
  for (const auto& [name, maker] : kKinds) {
    if (name == kind) return maker;
  }
  return nullptr;
}

}  // namespace bigmodel
