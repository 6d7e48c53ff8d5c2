// SPDX-License-Identifier: Apache-2.0
#include "exit_status.h"

namespace bigmodel::app {

ExitStatus exit_status(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::usage: return ExitStatus::usage;
    case ErrorKind::not_found: return ExitStatus::not_found;
    case ErrorKind::authorisation: return ExitStatus::authorisation;
    case ErrorKind::network: return ExitStatus::network;
    case ErrorKind::format: return ExitStatus::malformed;
    case ErrorKind::unsupported: return ExitStatus::malformed;
    case ErrorKind::capacity: return ExitStatus::does_not_fit;
    case ErrorKind::device: return ExitStatus::device;
    case ErrorKind::io: return ExitStatus::local_io;
    case ErrorKind::cancelled: return ExitStatus::interrupted;
  }
  return ExitStatus::internal;
}

std::span<const ExitStatusRow> exit_status_rows() noexcept {
  static constexpr ExitStatusRow kRows[] = {
      {ExitStatus::done, "done"},
      {ExitStatus::answered_no, "a check was asked for, and its answer is no"},
      {ExitStatus::usage, "the command line makes no sense"},
      {ExitStatus::not_found, "no such model, file, class or tensor"},
      {ExitStatus::authorisation, "the server wants a token, or another one"},
      {ExitStatus::network, "no answer from the network, or offline and not in the cache"},
      {ExitStatus::malformed, "malformed or unsupported data"},
      {ExitStatus::does_not_fit, "does not fit, or out of memory"},
      {ExitStatus::device, "a device or its driver failed"},
      {ExitStatus::local_io, "local input or output failed (disk full, permission)"},
      {ExitStatus::internal, "a bug of bigmodel: please report it"},
  };
  return kRows;
}

}  // namespace bigmodel::app
