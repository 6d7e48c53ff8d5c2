// SPDX-License-Identifier: Apache-2.0
// Carries out a shard job: staged beside its target, synced, checked, put in place with the index last. A reader sees the old
// world or the new one; a killed run leaves a staging folder that a later run continues from or clears.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/write_output.h"
#include "bigmodel/core/progress.h"

namespace bigmodel {

struct WriteOptions {
  std::filesystem::path output;   ///< a folder that does not exist or is empty, or (force) one whose weights are replaced
  bool in_place = false;          ///< replace the weights in the checkpoint's own folder; `output` is ignored
  bool inside_source = false;     ///< `output` may lie below the checkpoint's folder
  bool force = false;
  bool resume = false;            ///< keep the shards that an interrupted run of the same job finished
  bool read_back = false;         ///< compare each file's digest with what the medium holds (always done in place)
  /// Where the checkpoint's files were made for this run alone: those that they were made of, and how, which tell an interrupted run of the same
  /// job. Null: the checkpoint's own.
  const std::vector<CheckpointFile>* made_of = nullptr;
  std::string made_how;
  CopyOptions copy;
  const Disk* disk = nullptr;     ///< nullptr: the real one
};

struct ShardReport {
  struct File {
    std::string name;
    std::uint64_t size_bytes = 0;
    std::size_t tensors = 0;
    std::string sha256;           ///< empty where extents were shared
  };
  std::filesystem::path output;
  std::vector<File> files;
  std::string index;              ///< empty: none
  std::uint64_t total_size = 0;
  std::uint64_t reflink_bytes = 0, copied_bytes = 0;
  std::uint64_t resumed_bytes = 0;            ///< of shards that were there already
  std::vector<std::string> removed;           ///< files of the old checkpoint that were superseded
  std::vector<std::string> side_files;
  std::vector<std::string> warnings;
  std::chrono::milliseconds elapsed{0};
};

/// Throws UsageError (output exists, is a link, is the source or lies in it), NotFoundError (no folder to put it in), IoError (also
/// too little space), CancelledError.
/// The source is never changed (in place: only after everything new is written, synced and read back).
ShardReport write_shards(const Checkpoint& checkpoint, const ShardJob& job, const WriteOptions& options, const WorkContext& work);

/// Refuses an output that write_shards would refuse, for commands that have work to do first. Throws UsageError and NotFoundError as it does.
void check_output(const Checkpoint& checkpoint, const WriteOptions& options);

/// Ends what a run that was killed while it put files in place had begun in `folder`. To be called before a checkpoint there
/// is opened for writing. Returns whether there was anything. Throws IoError, FormatError.
bool finish_interrupted_commit(const std::filesystem::path& folder, const Disk* disk = nullptr);

}  // namespace bigmodel
