// SPDX-License-Identifier: Apache-2.0
#include "render/text_table.h"

#include <algorithm>

#include "bigmodel/core/error.h"
#include "render/one_line.h"

namespace bigmodel::app {
namespace {

/// For people: what comes from files is made harmless first.
TextTable with_plain_cells(TextTable table) {
  for (std::vector<std::string>& row : table.rows) {
    for (std::string& cell : row) cell = one_line(cell);
  }
  return table;
}

std::vector<int> column_widths(const TextTable& table) {
  std::vector<int> widths;
  for (const Column& column : table.columns) widths.push_back(display_width(column.title));
  for (const std::vector<std::string>& row : table.rows) {
    BIGMODEL_ASSERT(row.size() == table.columns.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  return widths;
}

std::string padded(std::string_view text, int width, Align align) {
  const std::string blanks(static_cast<std::size_t>(std::max(0, width - display_width(text))), ' ');
  return align == Align::left ? std::string(text) + blanks : blanks + std::string(text);
}

struct BoxGlyphs {
  std::string_view horizontal, vertical;
  std::string_view top_left, top_mid, top_right;
  std::string_view mid_left, mid_mid, mid_right;
  std::string_view low_left, low_mid, low_right;
};

constexpr BoxGlyphs kUnicodeBox{"─", "│", "┌", "┬", "┐", "├", "┼", "┤", "└", "┴", "┘"};
constexpr BoxGlyphs kAsciiBox{"-", "|", "+", "+", "+", "+", "+", "+", "+", "+", "+"};

std::string rule(const BoxGlyphs& box, const std::vector<int>& widths, std::string_view left, std::string_view mid,
                 std::string_view right) {
  std::string out(left);
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (i != 0) out += mid;
    for (int k = 0; k < widths[i] + 2; ++k) out += box.horizontal;
  }
  out += right;
  out += '\n';
  return out;
}

std::string stacked_rows(const TextTable& table) {
  std::string out;
  for (const std::vector<std::string>& row : table.rows) {
    if (!out.empty()) out += '\n';
    for (std::size_t i = 0; i < row.size(); ++i) out += table.columns[i].title + ": " + row[i] + "\n";
  }
  return out;
}

}  // namespace

std::string box_table(const TextTable& given, const Terminal& terminal) {
  const TextTable table = with_plain_cells(given);
  const std::vector<int> widths = column_widths(table);
  int total = 1;
  for (const int width : widths) total += width + 3;
  if (terminal.is_tty && total > terminal.width_columns) return stacked_rows(table);

  const BoxGlyphs& box = terminal.unicode ? kUnicodeBox : kAsciiBox;
  const auto line = [&](const auto& cell_at) {
    std::string out(box.vertical);
    for (std::size_t i = 0; i < widths.size(); ++i) {
      out += ' ';
      out += cell_at(i);
      out += ' ';
      out += box.vertical;
    }
    return out + "\n";
  };
  std::string out = rule(box, widths, box.top_left, box.top_mid, box.top_right);
  out += line([&](std::size_t i) {
    return styled(padded(table.columns[i].title, widths[i], table.columns[i].align), Style::bold, terminal);
  });
  out += rule(box, widths, box.mid_left, box.mid_mid, box.mid_right);
  for (const std::vector<std::string>& row : table.rows) {
    out += line([&](std::size_t i) { return padded(row[i], widths[i], table.columns[i].align); });
  }
  return out + rule(box, widths, box.low_left, box.low_mid, box.low_right);
}

std::string plain_table(const TextTable& given) {
  const TextTable table = with_plain_cells(given);
  const std::vector<int> widths = column_widths(table);
  std::string out;
  const auto add = [&](const auto& cell_at) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i != 0) line += "  ";
      line += padded(cell_at(i), widths[i], table.columns[i].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add([&](std::size_t i) -> const std::string& { return table.columns[i].title; });
  for (const std::vector<std::string>& row : table.rows) {
    add([&](std::size_t i) -> const std::string& { return row[i]; });
  }
  return out;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string csv_table(const TextTable& table) {
  std::string out;
  for (std::size_t i = 0; i < table.columns.size(); ++i) out += (i == 0 ? "" : ",") + csv_field(table.columns[i].title);
  out += '\n';
  for (const std::vector<std::string>& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) out += (i == 0 ? "" : ",") + csv_field(row[i]);
    out += '\n';
  }
  return out;
}

std::string markdown_table(const TextTable& table) {
  const auto cell = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '|') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    return out;
  };
  std::string out = "|";
  for (const Column& column : table.columns) out += " " + cell(column.title) + " |";
  out += "\n|";
  for (const Column& column : table.columns) out += column.align == Align::left ? "---|" : "---:|";
  out += '\n';
  for (const std::vector<std::string>& row : table.rows) {
    out += '|';
    for (const std::string& text : row) out += " " + cell(text) + " |";
    out += '\n';
  }
  return out;
}

}  // namespace bigmodel::app
