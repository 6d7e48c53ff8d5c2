// SPDX-License-Identifier: Apache-2.0
// What a command is: a row of the option table and a function from checked options to an exit code.
//
// To add one:
//   1. commands/x.h declares `Command x_command();`, commands/x.cpp defines it: the CommandSpec (its text becomes --help,
//      the man page and the completions) and `run`: options -> one library call -> one result struct -> render.
//   2. Name x in commands/CMakeLists.txt and call x_command() in commands/all_commands.cpp.
//   3. Add schemas/x.schema.json for its JSON and tests/cli/x_test.cpp; run `cmake --build build/dev --target
//      update_pages` and commit what changes in completions/ and man/ (a test compares them).
// `run` throws bigmodel::Error for what ends the command and returns answered_no for a check whose answer is no. The
// result goes to session.out, everything else to session.notes.
#pragma once

#include <span>

#include "bigmodel/core/progress.h"
#include "cli/option_table.h"
#include "cli/options.h"
#include "exit_status.h"
#include "render/notes.h"
#include "render/output.h"
#include "render/progress.h"

namespace bigmodel::app {

/// What a command works with besides its options.
struct Session {
  Output& out;
  Notes& notes;
  Progress& progress;
  WorkContext work;  ///< progress observer and stop token for library calls
  const EnvironmentLookup& environment;
  std::span<const CommandSpec* const> commands;  ///< all of them, for help and completions
};

struct Command {
  const CommandSpec& (*spec)();
  ExitStatus (*run)(const Options& options, Session& session);
};

/// The program's commands in the order that help lists them.
std::span<const Command> all_commands();

}  // namespace bigmodel::app
