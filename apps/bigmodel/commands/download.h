// SPDX-License-Identifier: Apache-2.0
// `bigmodel download REPO`: files of a Hub repository into the shared cache.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command download_command();

}  // namespace bigmodel::app
