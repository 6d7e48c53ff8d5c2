// SPDX-License-Identifier: Apache-2.0
// Runs the built program and keeps stdout, stderr and the exit code apart.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace bigmodel::test {

struct RunResult {
  int exit_code = -1;  ///< 128 + signal where a signal ended the process
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string binary;  ///< empty: the built bigmodel
  std::string input;   ///< standard input
  /// The whole environment but for PATH; HOME is a folder that does not exist and HF_HUB_OFFLINE is 1 unless given here.
  std::map<std::string, std::string> environment = {};
  std::string stdout_path;  ///< instead of a pipe: a file such as /dev/full; `out` is then empty
  bool close_stdout = false;  ///< the reader of the pipe is gone before the program starts
  std::string folder;  ///< working folder; empty: the test's own
  int signal_number = 0;  ///< sent once the program has written something to stderr
  std::function<bool()> signal_when = {};  ///< asked until it says yes: the signal is sent then instead
};

/// Where the built bigmodel lies, and the program of the tests that throws what it is told to.
std::string bigmodel_binary();
std::string probe_binary();

/// Kills the program after 60 s and reports exit code 124.
RunResult run_binary(const std::vector<std::string>& args, const RunOptions& options = {});

}  // namespace bigmodel::test
