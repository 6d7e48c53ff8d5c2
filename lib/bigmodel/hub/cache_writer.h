// SPDX-License-Identifier: Apache-2.0
// Writes into the Hub's shared cache so that every other program that reads it agrees: refs, snapshots, .no_exist, locks.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "bigmodel/io/unique_fd.h"

namespace bigmodel {

/// One repository's folder in the cache. Ids, commits, etags and paths must be valid (repo_id.h): anything else throws
/// FormatError before a path is formed.
class CacheRepo {
 public:
  CacheRepo(std::filesystem::path cache, std::string_view repo_id);

  std::filesystem::path blob_path(std::string_view etag) const;
  std::filesystem::path file_path(std::string_view commit, std::string_view path) const;  ///< below snapshots/

  /// Folders for blobs and locks, and CACHEDIR.TAG in the cache's root. Throws IoError.
  void prepare() const;
  /// refs/<revision> is exactly the commit, replaced by a rename. Nothing to do for a commit as revision.
  void write_ref(std::string_view revision, std::string_view commit) const;
  /// .no_exist/<commit>/<path>.
  void note_missing(std::string_view commit, std::string_view path) const;
  /// snapshots/<commit>/<path> as a relative link to the blob, or the blob itself where links are off or impossible.
  void link_file(std::string_view commit, std::string_view path, std::string_view etag, bool use_symlinks) const;
  /// trees/<commit>.json is huggingface_hub's own listing; not written here.

  const std::filesystem::path& cache() const { return cache_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path cache_;
  std::filesystem::path folder_;
};

/// The lock that huggingface_hub takes while it writes a blob: flock on .locks/<repository>/<etag>.lock, mode 0664.
class BlobLock {
 public:
  /// Waits; calls `waiting` every 10 s. Throws CancelledError, IoError.
  BlobLock(const CacheRepo& repo, std::string_view etag, const std::stop_token& stop, const std::function<void()>& waiting);
  BlobLock(BlobLock&&) noexcept = default;
  BlobLock& operator=(BlobLock&&) noexcept = default;
  ~BlobLock() = default;  ///< closing releases it; the file stays, as the reference leaves it

 private:
  UniqueFd fd_;
};

/// A file system where flock and partial files can be trusted: a local one. False where it is unknown.
bool is_local_file_system(const std::filesystem::path& folder);

}  // namespace bigmodel
