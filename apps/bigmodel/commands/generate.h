// SPDX-License-Identifier: Apache-2.0
// `bigmodel generate KIND` (hidden): prints a completion script or a man page from the option table.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command generate_command();

}  // namespace bigmodel::app
