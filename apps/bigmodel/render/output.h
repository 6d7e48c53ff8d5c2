// SPDX-License-Identifier: Apache-2.0
// Standard output: buffered, with every write error seen. A reader that went away ends the program quietly.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>

#include "render/terminal.h"

namespace bigmodel::app {

/// The reader of a pipe closed it (`bigmodel ... | head`): no error, nothing more to say.
class ClosedPipe : public std::exception {
 public:
  const char* what() const noexcept override { return "closed pipe"; }
};

class Output {
 public:
  /// Does not own the descriptor; `object` names it in errors ("standard output").
  Output(int fd, std::string object, Terminal terminal);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  const Terminal& terminal() const { return terminal_; }
  /// Throws ClosedPipe or IoError, maybe only in a later call or flush().
  void write(std::string_view text);
  void line(std::string_view text) {
    write(text);
    write("\n");
  }
  template <typename... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    write(fmt::format(format, std::forward<Args>(args)...));
  }
  /// Must be called at the end; the destructor writes nothing.
  void flush();

 private:
  int fd_;
  std::string object_;
  Terminal terminal_;
  std::string buffer_;
};

}  // namespace bigmodel::app
