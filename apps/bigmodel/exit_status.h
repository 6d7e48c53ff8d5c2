// SPDX-License-Identifier: Apache-2.0
// The exit codes of the program: the one place where an error's kind becomes a number. They are a promise to scripts.
#pragma once

#include <span>
#include <string_view>

#include "bigmodel/core/error.h"

namespace bigmodel::app {

enum class ExitStatus : int {
  done = 0,
  answered_no = 1,    ///< a check was asked for and its answer is no (verify, a fit)
  usage = 2,
  not_found = 3,
  authorisation = 4,
  network = 5,
  malformed = 6,      ///< malformed or unsupported data
  does_not_fit = 7,
  device = 8,
  local_io = 9,
  internal = 70,
  interrupted = 130,  ///< only where the signal cannot be raised again
};

ExitStatus exit_status(ErrorKind kind) noexcept;

struct ExitStatusRow {
  ExitStatus status;
  std::string_view meaning;
};

/// Every code with its meaning, for `help exit-codes` and the man pages.
std::span<const ExitStatusRow> exit_status_rows() noexcept;

}  // namespace bigmodel::app
