// SPDX-License-Identifier: Apache-2.0
// Another vocabulary size for a checkpoint: transformers' resize_token_embeddings as a rewrite of files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/core/progress.h"
#include "bigmodel/io/scratch_folder.h"
#include "bigmodel/model/build_meta_graph.h"

namespace bigmodel {

struct ResizeVocabulary {
  std::int64_t size = 0;                  ///< rows afterwards
  std::int64_t pad_to_multiple_of = 0;    ///< rounds the size up; 0: not
  /// New rows: the mean of the old ones (transformers draws around it with a variance of 1e-9 of theirs), or zeros.
  bool mean_resizing = true;
};

struct ResizedTensor {
  std::string name;                       ///< in the checkpoint
  Shape from, to;
};

struct ResizedCheckpoint {
  Checkpoint checkpoint;                  ///< unchanged tensors where they were, resized ones in `scratch`; to be written elsewhere
  std::unique_ptr<ScratchFolder> scratch; ///< must outlive the reading
  std::string config_text;                ///< config.json with the new size
  std::int64_t size = 0;                  ///< after rounding
  std::vector<ResizedTensor> tensors;
};

/// Every tensor whose shape the config's vocabulary size decides is cut or gets rows at its end: embeddings, heads and their biases; tied names of
/// one file stay tied. Found by building the model under both configs, so that it holds for every described type. The resized tensors are made
/// anew in a hidden folder beside `output`, in chunks; `checkpoint` itself is not changed.
/// Throws UsageError (a size below 1), UnsupportedError (the config states no vocab_size, or the size shapes something else), FormatError (the
/// checkpoint is of another size), IoError, CancelledError.
ResizedCheckpoint resize_vocabulary(spec::SpecLibrary& library, const Config& config, const Checkpoint& checkpoint, const ResizeVocabulary& wanted,
                                    const std::filesystem::path& output, const Disk& disk, const WorkContext& work);

}  // namespace bigmodel
