// SPDX-License-Identifier: Apache-2.0
// `bigmodel help [COMMAND|TOPIC]`.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command help_command();

}  // namespace bigmodel::app
