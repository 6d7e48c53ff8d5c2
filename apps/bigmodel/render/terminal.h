// SPDX-License-Identifier: Apache-2.0
// What one output stream can show: is it a terminal, how wide, may it have colour, may it have more than ASCII.
#pragma once

#include <string>
#include <string_view>

#include "cli/options.h"

namespace bigmodel::app {

struct Terminal {
  bool is_tty = false;
  bool color = false;
  bool unicode = true;
  int width_columns = 80;  ///< COLUMNS, else the terminal's, else 80
};

/// `color` is auto, always or never. Order: the option; NO_COLOR; CLICOLOR_FORCE and FORCE_COLOR; TERM=dumb; the stream.
/// Unicode: the character set of the first of LC_ALL, LC_CTYPE, LANG that is set; none set counts as UTF-8; never where
/// TERM=dumb.
Terminal inspect_terminal(int fd, std::string_view color, const EnvironmentLookup& environment);

/// Text in a style where the terminal may have colour, else unchanged.
enum class Style { bold, dim, red, green, yellow };
std::string styled(std::string_view text, Style style, const Terminal& terminal);

/// Cells that a text takes on a terminal (utf8proc's widths; escape sequences are not expected in it).
int display_width(std::string_view text);

}  // namespace bigmodel::app
