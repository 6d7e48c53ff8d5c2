// SPDX-License-Identifier: Apache-2.0
// Reads the Hub's shared cache (hub-docs, local-cache.md): which snapshot a repository's revision is, without any network and
// without writing. Downloading into it is not this file's business.
#pragma once

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

/// The broken rule of a repository id in a few words, or nullopt for a valid one (`name` or `namespace/name`).
std::optional<std::string> repo_id_fault(std::string_view repo_id);

/// `revision` is a branch, a tag or a commit. nullopt where the cache does not have it; ids and revisions that are no valid names
/// are not there either, so that no path outside the cache is ever formed. The id counts as typed, case and all.
std::optional<CachedSnapshot> find_cached_snapshot(const std::filesystem::path& cache, std::string_view repo_id,
                                                   std::string_view revision = "main");

/// Ids of all model repositories of the cache, sorted.
std::vector<std::string> cached_repo_ids(const std::filesystem::path& cache);

}  // namespace bigmodel
