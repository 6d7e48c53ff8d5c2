// SPDX-License-Identifier: Apache-2.0
// Completion scripts for bash, zsh and fish made from the option table; committed under completions/.
// Model names come at completion time from `bigmodel __complete models`.
#pragma once

#include <span>
#include <string>

#include "cli/option_table.h"

namespace bigmodel::app {

std::string bash_completion(std::span<const CommandSpec* const> commands);
std::string zsh_completion(std::span<const CommandSpec* const> commands);
std::string fish_completion(std::span<const CommandSpec* const> commands);

}  // namespace bigmodel::app
