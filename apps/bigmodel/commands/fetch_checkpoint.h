// SPDX-License-Identifier: Apache-2.0
// The files of a Hub repository that loading its model takes, and nothing more: the weights in one format, and the texts beside them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/hub/cache.h"
#include "commands/command.h"
#include "commands/hub_access.h"

namespace bigmodel::app {

struct RepositoryPart {
  std::string folder;   ///< where in the repository the checkpoint lies; empty: at its root
  std::string variant;  ///< as OpenOptions
};

/// Brings what the cache lacks and returns the folder. Throws NotFoundError where there are no safetensors or PyTorch weights, and
/// what fetching throws.
std::filesystem::path fetch_checkpoint(HubAccess& hub, const std::string& repo_id, const std::string& revision, const RepositoryPart& part,
                                       Session& session);

/// The repository that an argument names where nothing of that name is here; nullopt for what reads as a path.
std::optional<RepoReference> repository_argument(const std::string& argument, const Options& options, const HubSettings& settings);

}  // namespace bigmodel::app
