// SPDX-License-Identifier: Apache-2.0
// Man pages (roff, man(7) macros) made from the option table; committed under man/.
#pragma once

#include <span>
#include <string>

#include "cli/option_table.h"

namespace bigmodel::app {

/// bigmodel(1).
std::string program_man_page(std::span<const CommandSpec* const> commands);
/// bigmodel-COMMAND(1).
std::string command_man_page(const CommandSpec& command, std::span<const CommandSpec* const> commands);

}  // namespace bigmodel::app
