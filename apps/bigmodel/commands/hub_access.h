// SPDX-License-Identifier: Apache-2.0
// The Hub for one call of the program: settings from the environment and the options, a client over the network, and how it
// speaks to people.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bigmodel/hub/fetch.h"
#include "bigmodel/hub/hub_client.h"
#include "bigmodel/hub/repo_id.h"
#include "bigmodel/hub/settings.h"
#include "commands/command.h"

namespace bigmodel::app {

/// Rows of every command that may ask the Hub: --revision, --offline, --token-file.
std::vector<OptionSpec> hub_option_rows();

/// From the environment, then --offline and --token-file where the command has them. Throws NotFoundError for a token file
/// that is not there.
HubSettings hub_settings_of(const Options& options, const EnvironmentLookup& environment);

/// A repository as an argument names it, with --revision where the command has it. Throws UsageError.
RepoReference hub_repository(const std::string& argument, const Options& options, const HubSettings& settings);

/// Where in the repository the call looks: the reference's own path, or --subfolder. Throws UsageError where the two differ.
std::string repository_folder(const std::string& argument, const RepoReference& repo, const Options& options);

/// A client whose parts live together. Nothing is connected before the first question.
class HubAccess {
 public:
  HubAccess(HubSettings settings, Session& session);
  HubAccess(const HubAccess&) = delete;
  HubAccess& operator=(const HubAccess&) = delete;

  const HubSettings& settings() const { return settings_; }
  HubClient& client() { return *client_; }
  const FetchNotes& notes() const { return notes_; }

 private:
  HubSettings settings_;
  std::unique_ptr<HttpTransport> transport_;
  std::unique_ptr<HubClient> client_;
  FetchNotes notes_;
};

}  // namespace bigmodel::app
