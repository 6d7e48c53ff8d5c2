// SPDX-License-Identifier: Apache-2.0
// Attention heads taken out of a checkpoint: transformers 4's prune_heads as a rewrite of files. In memory: engine/model_surgery.h.
#pragma once

#include "bigmodel/engine/checkpoint_edit.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/prune_heads.h"

namespace bigmodel {

/// What goes with some heads.
struct HeadsEdit {
  CheckpointEdit files;                   ///< its config states all heads that are gone, earlier ones too, as `pruned_heads`
  PrunedGraph pruned;                     ///< the graph afterwards, and the cuts by names in memory
};

/// Heads are numbered as before any pruning; those that the config says are gone already are passed over. `checkpoint` says which of several
/// forms its tensors have. Throws what prune_heads throws, UnsupportedError (a quantised checkpoint; files that hold the projections in a form that
/// cannot be cut), FormatError (a tensor is missing).
HeadsEdit plan_pruning(spec::SpecLibrary& library, const Config& config, const Checkpoint& checkpoint, const HeadsByLayer& heads,
                       const std::string& class_name = "auto");

}  // namespace bigmodel
