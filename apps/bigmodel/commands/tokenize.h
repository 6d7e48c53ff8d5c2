// SPDX-License-Identifier: Apache-2.0
// `bigmodel tokenize`: text to token ids and back.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command tokenize_command();

}  // namespace bigmodel::app
