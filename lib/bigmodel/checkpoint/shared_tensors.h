// SPDX-License-Identifier: Apache-2.0
// Which names of a checkpoint share memory, and which of them a safetensors file (which cannot share) keeps.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

struct KeptTensors {
  std::vector<std::uint32_t> kept;                            ///< into Checkpoint::tensors, in their order
  std::vector<std::pair<std::string, std::string>> dropped;   ///< name -> the kept name of the same tensor
  bool refused = false;                                       ///< only keep_like_hub: the reference would refuse this checkpoint
  std::string why;                                            ///< refused: its reason
};

/// Drops a name only where another name holds the very same view (storage, place, shape, strides, dtype); keeps the first in
/// the checkpoint's order (the embedding, not the head tied to it).
KeptTensors keep_distinct(const Checkpoint& checkpoint);

/// huggingface_hub's rule (_remove_duplicate_names): of overlapping names keep the alphabetically first that covers its whole
/// storage; where none does, the reference refuses.
KeptTensors keep_like_hub(const Checkpoint& checkpoint);

}  // namespace bigmodel
