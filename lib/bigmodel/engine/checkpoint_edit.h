// SPDX-License-Identifier: Apache-2.0
// Tensors of a checkpoint (or of memory) with slices taken out or rows added: what resizing a vocabulary and pruning heads have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/core/progress.h"
#include "bigmodel/io/scratch_folder.h"

namespace bigmodel {

/// One tensor's new shape. Along `axis` the ranges [begin, end) stay, ascending; what `to` has beyond them is added at the end (axis 0 only).
struct TensorEdit {
  std::string name;
  Shape from, to;
  std::size_t axis = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> kept;
  bool mean = false;                      ///< added rows are the mean of the old ones; else zeros
};

/// What scratch folders of edits are for (io/scratch_folder.h).
inline constexpr const char* kHeadsPurpose = "heads";
inline constexpr const char* kVocabularyPurpose = "vocabulary";

/// Everything that changes in a checkpoint. Names are those of files; a prefix that one side lacks does not matter.
struct CheckpointEdit {
  std::string purpose;                    ///< one word, for the name of the scratch folder: one of those above, or with a number behind it
  std::vector<TensorEdit> tensors;
  std::string config_text;                ///< config.json afterwards
};

struct EditedCheckpoint {
  Checkpoint checkpoint;                  ///< unchanged tensors where they were, edited ones in `scratch`; to be written elsewhere
  std::unique_ptr<ScratchFolder> scratch; ///< must outlive the reading
  std::vector<TensorEdit> tensors;        ///< that were found, under their names in the files
};

/// The edited tensors are made anew in a hidden folder beside `output`, in chunks; tied names of one file stay tied. `checkpoint` is not changed.
/// Throws FormatError (a shape that is not the edit's; nothing there to edit), UnsupportedError (a dtype of which no mean can be made, or
/// whose elements are no whole bytes), IoError, CancelledError.
EditedCheckpoint edit_checkpoint(const Checkpoint& checkpoint, const CheckpointEdit& edit, const std::filesystem::path& output, const Disk& disk,
                                 const WorkContext& work);

/// The elements after the edit of a tensor in memory, row-major. Throws UnsupportedError.
std::vector<std::byte> edited_elements(const TensorEdit& edit, DType dtype, std::span<const std::byte> elements);

/// A base model's file may lack the prefix that the class has, or have one that the base model has not.
bool is_same_name(const std::string& file, const std::string& wanted);

}  // namespace bigmodel
