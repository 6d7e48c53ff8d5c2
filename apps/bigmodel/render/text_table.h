// SPDX-License-Identifier: Apache-2.0
// One table, four looks: a box for people, CSV and Markdown for programs and pages. Cells are text; widths count
// terminal cells, not bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "render/terminal.h"

namespace bigmodel::app {

enum class Align { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
};

struct TextTable {
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  ///< each as long as `columns`
};

/// The next two are for people: control characters in cells are shown as \x1b.
/// A box of lines (ASCII where the terminal wants that). On a terminal too narrow for it, each row becomes a few
/// `title: value` lines instead, so that nothing wraps or is cut.
std::string box_table(const TextTable& table, const Terminal& terminal);

/// Columns under their titles without lines between, two spaces apart.
std::string plain_table(const TextTable& table);

/// RFC 4180 with "\n" line ends: titles first; quoted where needed.
std::string csv_table(const TextTable& table);
std::string csv_field(std::string_view text);

/// GitHub's pipe table; pipes in cells are escaped.
std::string markdown_table(const TextTable& table);

}  // namespace bigmodel::app
