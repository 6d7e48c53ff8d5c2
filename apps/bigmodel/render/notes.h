// SPDX-License-Identifier: Apache-2.0
// Standard error: notes and warnings, one line each, silent under --quiet; and the one error that ends a command.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "bigmodel/core/error.h"
#include "exit_status.h"
#include "render/terminal.h"

namespace bigmodel::app {

class Notes {
 public:
  Notes(int fd, Terminal terminal, bool quiet, bool verbose);

  const Terminal& terminal() const { return terminal_; }
  bool quiet() const { return quiet_; }
  /// "note: using catalog entry bert-base-cased": what was decided for the user.
  void note(std::string_view text);
  void warning(std::string_view text);
  /// Printed under --verbose only.
  void detail(std::string_view text);
  /// Written as it is, errors ignored: there is nowhere left to report them.
  void raw(std::string_view text);

 private:
  int fd_;
  Terminal terminal_;
  bool quiet_;
  bool verbose_;
};

/// One line: `error: <message>; <hint>`, or under --json `{"error":{"code":6,"kind":"format","message":...,"hint":...}}`.
std::string error_line(ExitStatus status, std::string_view kind, std::string_view message, std::string_view hint,
                       bool json, const Terminal& terminal);

}  // namespace bigmodel::app
