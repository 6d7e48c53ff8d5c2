// SPDX-License-Identifier: Apache-2.0
// `bigmodel __complete KIND` (hidden): the words that completion scripts cannot know beforehand, such as model names.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command complete_command();

}  // namespace bigmodel::app
