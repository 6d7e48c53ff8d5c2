// SPDX-License-Identifier: Apache-2.0
// Another vocabulary size for a checkpoint: transformers' resize_token_embeddings as a rewrite of files. In memory: engine/model_surgery.h.
#pragma once

#include <cstdint>
#include <string>

#include "bigmodel/engine/checkpoint_edit.h"
#include "bigmodel/model/build_meta_graph.h"

namespace bigmodel {

struct ResizeVocabulary {
  std::int64_t size = 0;                  ///< rows afterwards
  std::int64_t pad_to_multiple_of = 0;    ///< rounds the size up; 0: not
  /// New rows: the mean of the old ones (transformers draws around it with a variance of 1e-9 of theirs), or zeros.
  bool mean_resizing = true;
};

/// What a new size changes. Found by building the model under both configs, so that it holds for every described type.
struct VocabularyEdit {
  CheckpointEdit files;
  std::vector<TensorEdit> memory;         ///< by names in memory, each tied one under every name
  MetaGraph graph;                        ///< afterwards
  std::int64_t size = 0;                  ///< after rounding
};

/// Embeddings, heads and their biases are cut or get rows at their end. Throws UsageError (a size below 1), UnsupportedError (the config states no
/// vocab_size, or the size shapes something else), and what build_meta_graph throws.
VocabularyEdit plan_vocabulary(spec::SpecLibrary& library, const Config& config, const ResizeVocabulary& wanted, const std::string& class_name = "auto");

struct ResizedCheckpoint : EditedCheckpoint {
  std::string config_text;                ///< config.json with the new size
  std::int64_t size = 0;                  ///< after rounding
};

/// plan_vocabulary, then edit_checkpoint.
ResizedCheckpoint resize_vocabulary(spec::SpecLibrary& library, const Config& config, const Checkpoint& checkpoint, const ResizeVocabulary& wanted,
                                    const std::filesystem::path& output, const Disk& disk, const WorkContext& work);

}  // namespace bigmodel
