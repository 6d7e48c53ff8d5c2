// SPDX-License-Identifier: Apache-2.0
// `bigmodel run`: runs a model from its own files, with its weights in RAM and on disk.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command run_command();

}  // namespace bigmodel::app
