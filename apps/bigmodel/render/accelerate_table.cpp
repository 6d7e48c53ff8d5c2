// SPDX-License-Identifier: Apache-2.0
#include "render/accelerate_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "render/terminal.h"

namespace bigmodel::app {
namespace {

/// Python's repr(round(x, 2)) of a float: at least one decimal, no trailing zeros beyond it.
std::string python_round(double x) {
  std::string out = fmt::format("{:.2f}", x);
  if (out.back() == '0') out.pop_back();
  return out;
}

/// CPython's str.center: the odd blank goes left where the width is odd.
std::string centred(const std::string& text, int width) {
  const int pad = width - display_width(text);
  if (pad <= 0) return text;
  const int left = pad / 2 + (pad & width & 1);
  return std::string(static_cast<std::size_t>(left), ' ') + text + std::string(static_cast<std::size_t>(pad - left), ' ');
}

std::string line(const std::vector<int>& widths, std::string_view left, std::string_view mid, std::string_view right) {
  std::string out(left);
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (i != 0) out += mid;
    for (int k = 0; k < widths[i]; ++k) out += "─";
  }
  return out.append(right) + "\n";
}

std::string cells(const std::vector<int>& widths, const std::vector<std::string>& texts) {
  std::string out = "│";
  for (std::size_t i = 0; i < widths.size(); ++i) out += centred(texts[i], widths[i]) + "│";
  return out + "\n";
}

}  // namespace

std::string accelerate_bytes(double size_bytes, bool whole) {
  static constexpr std::array<std::string_view, 5> kUnits{"bytes", "KB", "MB", "GB", "TB"};
  for (std::size_t i = 0; i < kUnits.size(); ++i) {
    if (size_bytes < 1024) {
      if (i == 0 && whole) return fmt::format("{:.0f} {}", size_bytes, kUnits[i]);
      return fmt::format("{} {}", python_round(size_bytes), kUnits[i]);
    }
    size_bytes /= 1024;
  }
  return fmt::format("{} PB", python_round(size_bytes));
}

std::string accelerate_table(const std::string& title, const std::vector<std::string>& headers,
                             const std::vector<std::vector<std::string>>& rows) {
  std::vector<int> widths;
  int sum = 0;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    int width = display_width(headers[i]);
    for (const std::vector<std::string>& row : rows) width = std::max(width, display_width(row[i]));
    widths.push_back(width);
    sum += width;
  }
  const int plain = sum + static_cast<int>(headers.size()) + 1;
  int grown = 0;
  if (const int title_width = display_width(title); title_width > sum) {
    // A title a little shorter than the table widens it too: so does the reference.
    grown = 2 * std::abs(title_width - plain);
    widths.back() += grown;
  }
  std::string out = line({plain + grown - 2}, "┌", "", "┐");
  out += cells({plain + grown - 2}, {title});
  out += line(widths, "├", "┬", "┤");
  out += cells(widths, headers);
  out += line(widths, "├", "┼", "┤");
  for (const std::vector<std::string>& row : rows) out += cells(widths, row);
  return out + line(widths, "└", "┴", "┘");
}

}  // namespace bigmodel::app
