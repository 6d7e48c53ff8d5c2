// SPDX-License-Identifier: Apache-2.0
// Reads the Hub's shared cache (hub-docs, local-cache.md): which commit a revision is, where a file lies, which files there are.
// Needs neither network nor write access. Downloading into it is cache_writer's business.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

struct CachedSnapshot {
  std::filesystem::path folder;  ///< snapshots/<commit>
  std::string commit;            ///< 40 hex digits
};

/// What the cache says about one file: Python's path, _CACHED_NO_EXIST or None.
struct CachedFile {
  enum class State { found, known_missing, unknown };
  State state = State::unknown;
  std::filesystem::path path;  ///< of a found one: snapshots/<commit>/<file>
  std::string commit;          ///< empty where the revision is unknown
};

/// One file of a repository at a commit, as a snapshot folder or the Hub lists it.
struct RepoFile {
  std::string path;              ///< with '/'
  std::uint64_t size_bytes = 0;
  std::string etag;              ///< blob's name: SHA-256 of large files, git's SHA-1 of others; empty where unknown
};

/// "models--google-bert--bert-base-cased": the repository's folder below the cache. The id counts as typed, case and all.
std::string repo_folder_name(std::string_view repo_id);

/// The commit that refs/<revision> names (a full commit is its own); nullopt where the cache does not know it.
/// Ids and revisions that are no valid names are not there either, so that no path outside the cache is ever formed.
std::optional<std::string> cached_commit(const std::filesystem::path& cache, std::string_view repo_id,
                                         std::string_view revision = "main");

/// `revision` is a branch, a tag or a commit. nullopt where the cache does not have its snapshot.
std::optional<CachedSnapshot> find_cached_snapshot(const std::filesystem::path& cache, std::string_view repo_id,
                                                   std::string_view revision = "main");

/// Order of the reference: refs, .no_exist, snapshots. A symlink whose blob is gone is unknown.
CachedFile find_cached_file(const std::filesystem::path& cache, std::string_view repo_id, std::string_view path,
                            std::string_view revision = "main");

/// The files that a snapshot folder has (links with a blob behind them), sorted by path; at most 100,000.
std::vector<RepoFile> snapshot_files(const std::filesystem::path& snapshot);

/// trees/<commit>.json, which newer versions of huggingface_hub write: all files of the repository at a commit, fetched or
/// not. nullopt where it is absent, malformed or of another version.
std::optional<std::vector<RepoFile>> cached_tree(const std::filesystem::path& cache, std::string_view repo_id,
                                                 std::string_view commit);

/// Ids of all model repositories of the cache, sorted.
std::vector<std::string> cached_repo_ids(const std::filesystem::path& cache);

}  // namespace bigmodel
