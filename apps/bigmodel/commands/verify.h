// SPDX-License-Identifier: Apache-2.0
// `bigmodel verify CHECKPOINT`: is everything there, and is it what it should be?
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command verify_command();

}  // namespace bigmodel::app
