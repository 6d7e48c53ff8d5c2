// SPDX-License-Identifier: Apache-2.0
// bigmodel shard: cuts, merges and converts a checkpoint.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command shard_command();

}  // namespace bigmodel::app
