// SPDX-License-Identifier: Apache-2.0
// Opens a discussion (an issue in words) in a repository of the Hub.
#pragma once

#include <string>

#include "bigmodel/hub/hub_client.h"

namespace bigmodel {

/// Returns its address. Where the connection breaks after the Hub took it, a retry may open it twice. Throws RepoNotFoundError,
/// AuthorisationError, NetworkError, FormatError for an answer without a number.
std::string open_discussion(HubClient& client, const std::string& repo_id, const std::string& title, const std::string& text);

}  // namespace bigmodel
