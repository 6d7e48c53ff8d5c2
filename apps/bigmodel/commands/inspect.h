// SPDX-License-Identifier: Apache-2.0
// `bigmodel inspect MODEL`: its tensors, its module tree, or where one name comes from.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command inspect_command();

}  // namespace bigmodel::app
