// SPDX-License-Identifier: Apache-2.0
// bigmodel init: a random checkpoint of a described type.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command init_command();

}  // namespace bigmodel::app
