// SPDX-License-Identifier: Apache-2.0
// Where the tokenizer of a MODEL argument lies.
#pragma once

#include <filesystem>
#include <string>

#include "commands/command.h"

namespace bigmodel::app {

/// A file or folder as it is; else a name of the Hub, of whose repository only tokenizer files are fetched. Throws NotFoundError,
/// NetworkError, AuthorisationError, UsageError.
std::filesystem::path find_tokenizer(const std::string& argument, const Options& options, Session& session);

}  // namespace bigmodel::app
