// SPDX-License-Identifier: Apache-2.0
// `bigmodel estimate-memory MODEL...`.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command estimate_memory_command();

}  // namespace bigmodel::app
