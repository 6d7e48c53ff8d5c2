// SPDX-License-Identifier: Apache-2.0
#include "render/terminal.h"
#include "bigmodel/core/parse_number.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cctype>

namespace bigmodel::app {
namespace {

constexpr int kDefaultWidth = 80;
constexpr int kLeastWidth = 20;
constexpr int kMostWidth = 1000;

std::string value_of(const EnvironmentLookup& environment, const char* name) { return environment(name).value_or(""); }

bool may_color(bool is_tty, std::string_view color, const EnvironmentLookup& environment) {
  if (color == "always") return true;
  if (color == "never") return false;
  if (!value_of(environment, "NO_COLOR").empty()) return false;
  for (const char* name : {"CLICOLOR_FORCE", "FORCE_COLOR"}) {
    const std::string forced = value_of(environment, name);
    if (!forced.empty() && forced != "0") return true;
  }
  return is_tty && value_of(environment, "TERM") != "dumb";
}

bool may_unicode(const EnvironmentLookup& environment) {
  if (value_of(environment, "TERM") == "dumb") return false;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string locale = value_of(environment, name);
    if (locale.empty()) continue;
    std::ranges::transform(locale, locale.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return true;  // nothing said: containers and cron run without a locale, and what reads them reads UTF-8
}

int width_of(int fd, const EnvironmentLookup& environment) {
  const std::string columns = value_of(environment, "COLUMNS");
  if (const std::optional<int> width = parse_number<int>(columns); width && *width > 0) return std::clamp(*width, kLeastWidth, kMostWidth);
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::clamp(static_cast<int>(size.ws_col), kLeastWidth, kMostWidth);
  }
  return kDefaultWidth;
}

std::string_view code(Style style) {
  switch (style) {
    case Style::bold: return "1";
    case Style::dim: return "2";
    case Style::red: return "31";
    case Style::green: return "32";
    case Style::yellow: return "33";
  }
  return "0";
}

}  // namespace

Terminal inspect_terminal(int fd, std::string_view color, const EnvironmentLookup& environment) {
  Terminal out;
  out.is_tty = ::isatty(fd) == 1;
  out.color = may_color(out.is_tty, color, environment);
  out.unicode = may_unicode(environment);
  out.width_columns = width_of(fd, environment);
  return out;
}

std::string styled(std::string_view text, Style style, const Terminal& terminal) {
  if (!terminal.color) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code(style), text);
}

int display_width(std::string_view text) {
  int width = 0;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t point = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(at, left, &point);
    if (used <= 0) {  // no UTF-8: one cell a byte
      ++at;
      --left;
      ++width;
      continue;
    }
    width += std::max(0, utf8proc_charwidth(point));
    at += used;
    left -= used;
  }
  return width;
}

}  // namespace bigmodel::app
