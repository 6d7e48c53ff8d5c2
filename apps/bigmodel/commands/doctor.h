// SPDX-License-Identifier: Apache-2.0
// `bigmodel doctor`: what this build and this machine can do, what is off, and how to change that.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command doctor_command();

}  // namespace bigmodel::app
