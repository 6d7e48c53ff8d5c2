// SPDX-License-Identifier: Apache-2.0
// The program around a set of commands: parse, dispatch, print one error, exit code. Tests run it with commands of their own.
#pragma once

#include <span>
#include <string>

#include "commands/command.h"

namespace bigmodel::app {

/// Runs one call; `args` without the program's name. Every exception ends here. Returns the exit code, or dies by the
/// signal that stopped the command.
int run_program(std::span<const std::string> args, std::span<const Command> commands,
                const EnvironmentLookup& environment);

/// The process's own environment.
EnvironmentLookup process_environment();

}  // namespace bigmodel::app
