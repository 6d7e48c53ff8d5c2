// SPDX-License-Identifier: Apache-2.0
// `bigmodel push FOLDER REPO`: a folder to a repository of the Hub.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command push_command();

}  // namespace bigmodel::app
