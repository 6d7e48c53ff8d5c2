// SPDX-License-Identifier: Apache-2.0
// The program: argv in, text out. What it does is in program.h and commands/.
#include <string>
#include <vector>

#include "program.h"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  return bigmodel::app::run_program(args, bigmodel::app::all_commands(), bigmodel::app::process_environment());
}
