// SPDX-License-Identifier: Apache-2.0
#include "render/notes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "render/json_text.h"
#include "render/one_line.h"

namespace bigmodel::app {
Notes::Notes(int fd, Terminal terminal, bool quiet, bool verbose)
    : fd_(fd), terminal_(terminal), quiet_(quiet), verbose_(verbose) {}

void Notes::raw(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd_, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

void Notes::note(std::string_view text) {
  if (!quiet_) raw(fmt::format("{}\n", styled(one_line(text), Style::dim, terminal_)));
}

void Notes::warning(std::string_view text) {
  if (!quiet_) raw(fmt::format("{} {}\n", styled("warning:", Style::yellow, terminal_), one_line(text)));
}

void Notes::detail(std::string_view text) {
  if (verbose_ && !quiet_) raw(fmt::format("{}\n", styled(one_line(text), Style::dim, terminal_)));
}

std::string error_line(ExitStatus status, std::string_view kind, std::string_view message, std::string_view hint,
                       bool json, const Terminal& terminal) {
  if (json) {
    nlohmann::ordered_json error{{"code", static_cast<int>(status)}, {"kind", kind}, {"message", message}};
    if (!hint.empty()) error["hint"] = hint;
    return json_text({{"error", std::move(error)}}, false) + "\n";
  }
  return fmt::format("{} {}{}{}\n", styled("error:", Style::red, terminal), one_line(message), hint.empty() ? "" : "; ",
                     one_line(hint));
}

}  // namespace bigmodel::app
