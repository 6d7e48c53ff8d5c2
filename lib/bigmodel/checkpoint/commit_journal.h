// SPDX-License-Identifier: Apache-2.0
// The journal of a shard job: what is finished, and once everything is, the list of moves and removals that put it in place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/io/disk.h"

namespace bigmodel {

struct FinishedShard {
  std::uint64_t size_bytes = 0;
  std::string sha256;  ///< may be empty
};

/// What puts staged files in place. Steps may be repeated after a crash: each checks whether it is done.
struct CommitSteps {
  std::vector<std::string> remove_first;  ///< names that are also in `move`: old files that must be gone before the first move
  std::vector<std::string> move;          ///< staged names, the index last
  std::vector<std::string> remove_last;   ///< superseded files
};

struct JournalContent {
  std::string plan;                                 ///< digest of the job
  std::map<std::string, FinishedShard> finished;
  std::optional<CommitSteps> commit;                ///< present: only these steps are left to do
};

/// Append-only text, synced where a line must outlive a crash. One process at a time (flock).
class CommitJournal {
 public:
  /// Opens or creates and locks. Throws UsageError where another process holds it, IoError.
  CommitJournal(std::filesystem::path path, const Disk& disk);

  const JournalContent& content() const noexcept { return content_; }
  /// Forgets what was there and begins with a plan.
  void start(const std::string& plan);
  /// The shard's bytes are on the medium. `keep`: so must this line be; else it may be lost, and the shard is written again.
  void finish_shard(const std::string& name, const FinishedShard& shard, bool keep = true);
  void begin_commit(const CommitSteps& steps);
  void remove();

 private:
  void append(const std::string& line, bool keep);

  std::filesystem::path path_;
  const Disk& disk_;
  UniqueFd fd_;
  JournalContent content_;
  std::uint64_t size_ = 0;
};

/// Does the steps: from the staging folder into `folder`. Throws IoError.
void run_commit(const CommitSteps& steps, const std::filesystem::path& staging, const std::filesystem::path& folder, const Disk& disk);

/// Where a job keeps its things, from its target: ".NAME.bigmodel-part" and ".NAME.bigmodel-journal" beside a new folder,
/// ".bigmodel-part" and ".bigmodel-journal" inside one that is changed.
struct StagingPlaces {
  std::filesystem::path staging;
  std::filesystem::path journal;
};
StagingPlaces places_beside(const std::filesystem::path& output);
StagingPlaces places_inside(const std::filesystem::path& folder);

}  // namespace bigmodel
