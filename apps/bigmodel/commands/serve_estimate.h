// SPDX-License-Identifier: Apache-2.0
// `bigmodel serve-estimate`: the page of `estimate-memory --report` on loopback, with a field for the model.
#pragma once

#include "commands/command.h"

namespace bigmodel::app {

Command serve_estimate_command();

}  // namespace bigmodel::app
