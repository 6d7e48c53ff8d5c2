// SPDX-License-Identifier: Apache-2.0
// `bigmodel infer-device-map MODEL`.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command infer_device_map_command();

}  // namespace bigmodel::app
