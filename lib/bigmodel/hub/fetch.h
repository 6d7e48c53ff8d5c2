// SPDX-License-Identifier: Apache-2.0
// Files of the Hub on this machine: from the cache where they are there, else downloaded into it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/hub/hub_client.h"

namespace bigmodel {

struct FetchNotes {
  std::function<void(const std::string&)> note;     ///< for people; may be empty
  std::function<void(const std::string&)> warning;  ///< stale data may be used; may be empty
};

struct FetchedFile {
  std::filesystem::path path;  ///< below snapshots/<commit>/
  std::string commit;
  bool downloaded = false;
  bool stale = false;  ///< the Hub did not answer: the newest that the cache has
};

/// One file at a revision. A full commit in the cache needs no question; offline only the cache is asked. Where the Hub does
/// not answer (no connection, 5xx, missing or unpermitted repository) the cache's copy serves, with a warning.
/// A missing file is remembered in .no_exist. Throws EntryNotFoundError, NotFoundError, AuthorisationError, NetworkError, IoError.
FetchedFile fetch_file(HubClient& client, const std::string& repo_id, const std::string& revision, const std::string& path,
                       const FetchNotes& notes);

/// A file of a download, and whether the cache has it.
struct PlannedFile {
  RepoFile file;
  bool cached = false;
};

struct DownloadPlan {
  std::string repo_id, revision, commit;
  std::filesystem::path folder;  ///< snapshots/<commit>
  std::vector<PlannedFile> files;
  std::uint64_t total_bytes() const;
  std::uint64_t missing_bytes() const;
};

/// Which files a download would bring. Patterns are fnmatch's, `*` matches '/' too, a trailing '/' means everything below;
/// empty `include` means all. Offline the cached listing serves; where there is none, the snapshot itself.
DownloadPlan plan_download(HubClient& client, const std::string& repo_id, const std::string& revision,
                           std::span<const std::string> include, std::span<const std::string> exclude);

struct DownloadResult {
  std::uint64_t received_bytes = 0;
  std::uint64_t resumed_bytes = 0;
  std::size_t downloaded_files = 0;
};

/// Downloads what the plan lacks, largest last, and links all of it. Progress is reported as "downloading".
/// Files that are done stay when a later one fails. `connections`: at most so many exchanges at a time.
DownloadResult download(HubClient& client, const DownloadPlan& plan, unsigned connections, const FetchNotes& notes);

/// Whether a path passes include and exclude patterns.
bool is_wanted(const std::string& path, std::span<const std::string> include, std::span<const std::string> exclude);

}  // namespace bigmodel
