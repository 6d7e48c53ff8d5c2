// SPDX-License-Identifier: Apache-2.0
// What a forward pass carries besides its tensors: the cache, positions, padding, and what blocks leave for later ones.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/core/progress.h"
#include "bigmodel/device/cpu/cpu_context.h"
#include "bigmodel/engine/tensor.h"

namespace bigmodel {

class Cache;
class DeviceNumbers;

/// One call of a model; one thread. Rows of every activation are ordered [batch, length].
struct ForwardState {
  std::int64_t batch = 1;
  std::int64_t length = 0;                ///< tokens of this call, padding included
  std::int64_t past = 0;                  ///< columns that the cache holds already
  Cache* cache = nullptr;                 ///< what mixers keep between calls; null: nothing is kept
  std::vector<std::int64_t> positions;    ///< [batch * length], as position ids of the reference
  std::vector<std::uint8_t> valid;        ///< [batch, past + length], 0 for padding; empty: no padding
  std::int64_t longest = 0;               ///< 1 + the largest position of the whole batch (dynamic and longrope look at it)
  /// Where positions have several axes (frame, row, column), those of each; empty: `positions` holds for all.
  std::vector<std::vector<std::int64_t>> axis_positions;
  std::vector<std::int64_t> position_delta;   ///< [batch] added to the running count behind the first pass (images take fewer positions than places)
  Tensor pixels;                          ///< images for a model of text and images, as its tower wants them; empty: none
  Tensor image_grid;                      ///< int64 [images, 3]: frames, rows and columns of patches, where the tower wants patches
  Tensor inserted;                        ///< rows that take the place of embeddings, at rows inserted_at
  std::vector<std::int64_t> inserted_at;
  bool last_only = false;                 ///< heads compute the last position alone
  std::int64_t grid_height = 0;           ///< of an image whose places are the rows, where that matters (windows)
  std::int64_t grid_width = 0;
  Tensor embeddings;                      ///< the decoder's input rows (shared blocks of zamba2 read them again)
  Tensor memory;                          ///< what an encoder gave, [batch, encoder length, size]; cross-attention reads it
  std::vector<std::uint8_t> memory_valid; ///< [batch, encoder length], 0 for padding; empty: no padding
  std::vector<float> relative_bias;       ///< [heads, length, columns], of the first layer, for the stack's other layers
  Tensor relative_rows;                   ///< [2 * reach, size]: learned rows for relative positions, for all layers of the stack (deberta)
  Tensor token_types;                     ///< int64 [batch, length], token_type_ids; empty: all 0
  std::vector<std::pair<std::string, Tensor>> outputs;   ///< what encoders and heads give, under the reference's names
  std::vector<Tensor>* hidden_states = nullptr;  ///< where given: the stream before every layer, then the final one
  /// What kernels of accelerators read of all this; null: nothing has run there yet.
  std::shared_ptr<DeviceNumbers> device_numbers;
  /// Whether this pass can be recorded and repeated for the next token with other ids, positions and past: blocks that did anything else with
  /// numbers of the processor say no.
  bool repeatable = true;
  /// Ids that lie on an accelerator are tokens that the model chose itself: nobody looks again whether it has them.
  bool ids_are_chosen = false;
  /// The pass is being recorded: caches are as full as they can become, and kernels read how full they are.
  bool recording = false;
  DType accelerator_cache = DType::float32;   ///< of keys and values on an accelerator
  DType processor_cache = DType::float32;     ///< of those in RAM
  const CpuContext* cpu = nullptr;       ///< what operations run on; null: the calling thread (LoadedModel::forward fills it in)
  WorkContext work;

  /// `cpu`, or the calling thread alone.
  const CpuContext& context() const noexcept {
    static const CpuContext kAlone;
    return cpu == nullptr ? kAlone : *cpu;
  }
  DeviceNumbers& numbers();
  std::int64_t columns() const noexcept { return past + length; }
  /// Whether column `c` of row `b` is a token and not padding; c counts from the start of the sequence.
  bool is_token(std::int64_t b, std::int64_t c) const { return valid.empty() || valid[static_cast<std::size_t>(b * columns() + c)] != 0; }
};

/// Fills positions and longest from batch, past, length, valid and position_delta: the running count of tokens from 0; padding before the first is 0.
void place_tokens(ForwardState& state);

}  // namespace bigmodel
