// SPDX-License-Identifier: Apache-2.0
// bigmodel edit: another vocabulary size for a checkpoint, or fewer attention heads.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command edit_command();

}  // namespace bigmodel::app
