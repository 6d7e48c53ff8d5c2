// SPDX-License-Identifier: Apache-2.0
// A folder to a repository of the Hub: which files would go, how the Hub wants each, and the commit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/hub/hub_client.h"

namespace bigmodel {

struct PushFile {
  /// regular: inside the commit; lfs: in the storage, by digest; unchanged: the repository has it; ignored: its .gitignore says so.
  enum class Mode { regular, lfs, unchanged, ignored };
  std::string path;               ///< in the repository, with '/'
  std::filesystem::path source;
  std::uint64_t size_bytes = 0;
  Mode mode = Mode::regular;
};

struct PushPlan {
  std::string repo_id;
  std::string revision = "main";
  std::vector<PushFile> files;    ///< sorted by path
  bool assumed = true;            ///< modes are guesses by name and size: the Hub was not asked
};

/// The folder's files, links followed, .git and .cache left out; patterns as in plan_download. Modes are what a new repository
/// would answer. Throws NotFoundError, UsageError for a path that no repository can hold.
PushPlan plan_push(const std::filesystem::path& folder, std::string repo_id, std::string revision, std::span<const std::string> include,
                   std::span<const std::string> exclude);

/// Asks the Hub how it wants each file, and hashes those that it may have already. Throws RepoNotFoundError and what HubClient throws.
void ask_modes(HubClient& client, PushPlan& plan);

/// Creates the repository; one that is there is fine. Returns its full id: a name without a namespace gets the account's.
/// `created` says whether it is new.
std::string create_repository(HubClient& client, const std::string& repo_id, bool is_private, bool& created);

struct PushOptions {
  std::string message = "Upload with bigmodel";
  bool create_pr = false;    ///< commit to a new pull request
  unsigned connections = 4;
};

struct PushResult {
  std::string commit;            ///< 40 hex digits; empty where nothing changed and nothing was committed
  std::string commit_url;
  std::string pull_request_url;  ///< with create_pr
  std::uint64_t sent_bytes = 0;
  std::uint64_t known_bytes = 0; ///< of large files that the storage had
};

/// Uploads and commits a plan whose modes the Hub gave. All or nothing: without the commit nobody sees the files.
PushResult push(HubClient& client, const PushPlan& plan, const PushOptions& options);

std::string_view to_string(PushFile::Mode mode) noexcept;

}  // namespace bigmodel
