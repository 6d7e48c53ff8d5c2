// SPDX-License-Identifier: Apache-2.0
// strftime in the C locale, glibc's flags and widths included, without touching the process's locale or time zone.
#include <fmt/format.h>

#include <array>
#include <chrono>

#include "bigmodel/tokenizer/jinja_objects.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::array<std::string_view, 7> kDays{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths{"January", "February", "March",     "April",   "May",      "June",
                                                   "July",    "August",   "September", "October", "November", "December"};

struct Day {
  int weekday;   ///< 0 = Sunday
  int yearday;   ///< from 0
  int iso_year;
  int iso_week;
  std::int64_t since_epoch;
};

Day day_of(const LocalTime& time) {
  using namespace std::chrono;
  const auto date = [](int y, int m, int d) {
    return sys_days(year(y) / month(static_cast<unsigned>(m)) / day(static_cast<unsigned>(d)));
  };
  const sys_days today = date(time.year, time.month, time.day);
  Day out{};
  out.weekday = static_cast<int>(weekday(today).c_encoding());
  out.yearday = static_cast<int>((today - date(time.year, 1, 1)).count());
  out.since_epoch = today.time_since_epoch().count();
  const int monday_first = (out.weekday + 6) % 7;
  const sys_days thursday = today + days(3 - monday_first);
  out.iso_year = static_cast<int>(year_month_day(thursday).year());
  out.iso_week = static_cast<int>((thursday - date(out.iso_year, 1, 1)).count()) / 7 + 1;
  return out;
}

}  // namespace

std::string strftime(const LocalTime& time, std::string_view format) {
  const Day day = day_of(time);
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    const std::size_t begin = i++;
    char pad = '\0';
    bool upper = false;
    bool swap = false;
    for (; i < format.size(); ++i) {
      const char c = format[i];
      if (c == '-' || c == '_' || c == '0') pad = c;
      else if (c == '^') upper = true;
      else if (c == '#') swap = true;
      else break;
    }
    std::size_t width = 0;
    for (; i < format.size() && format[i] >= '0' && format[i] <= '9'; ++i) width = std::min<std::size_t>(width * 10 + static_cast<std::size_t>(format[i] - '0'), 256);
    if (i < format.size() && (format[i] == 'E' || format[i] == 'O')) ++i;
    if (i == format.size()) {
      out += format.substr(begin);
      break;
    }
    const int hour12 = time.hour % 12 == 0 ? 12 : time.hour % 12;
    std::string text;
    bool number = false;
    const auto digits = [&](std::int64_t value, std::size_t at_least, char fill = '0') {
      number = true;
      const std::size_t size = width != 0 ? width : at_least;
      const char with = pad == '_' ? ' ' : pad == '0' ? '0' : fill;
      text = std::to_string(value);
      if (pad != '-' && text.size() < size) text.insert(0, size - text.size(), with);
    };
    const auto nested = [&](std::string_view inner) { text = strftime(time, inner); };
    switch (format[i]) {
      case 'a': text = kDays[static_cast<std::size_t>(day.weekday)].substr(0, 3); break;
      case 'A': text = kDays[static_cast<std::size_t>(day.weekday)]; break;
      case 'b':
      case 'h': text = kMonths[static_cast<std::size_t>(time.month - 1) % 12].substr(0, 3); break;
      case 'B': text = kMonths[static_cast<std::size_t>(time.month - 1) % 12]; break;
      case 'c': nested("%a %b %e %H:%M:%S %Y"); break;
      case 'C': digits(time.year / 100, 2); break;
      case 'd': digits(time.day, 2); break;
      case 'D':
      case 'x': nested("%m/%d/%y"); break;
      case 'e': digits(time.day, 2, ' '); break;
      case 'f': text = fmt::format("{:06}", time.microsecond); break;
      case 'F': nested("%Y-%m-%d"); break;
      case 'g': digits(day.iso_year % 100, 2); break;
      case 'G': digits(day.iso_year, 1); break;
      case 'H': digits(time.hour, 2); break;
      case 'I': digits(hour12, 2); break;
      case 'j': digits(day.yearday + 1, 3); break;
      case 'k': digits(time.hour, 2, ' '); break;
      case 'l': digits(hour12, 2, ' '); break;
      case 'm': digits(time.month, 2); break;
      case 'M': digits(time.minute, 2); break;
      case 'n': text = "\n"; break;
      case 'p': text = time.hour < 12 ? (swap ? "am" : "AM") : (swap ? "pm" : "PM"); break;
      case 'P': text = time.hour < 12 ? "am" : "pm"; break;
      case 'r': nested("%I:%M:%S %p"); break;
      case 'R': nested("%H:%M"); break;
      case 's': digits(day.since_epoch * 86400 + time.hour * 3600 + time.minute * 60 + time.second - time.utc_offset_seconds, 1); break;
      case 'S': digits(time.second, 2); break;
      case 't': text = "\t"; break;
      case 'T':
      case 'X': nested("%H:%M:%S"); break;
      case 'u': digits(day.weekday == 0 ? 7 : day.weekday, 1); break;
      case 'U': digits((day.yearday + 7 - day.weekday) / 7, 2); break;
      case 'V': digits(day.iso_week, 2); break;
      case 'w': digits(day.weekday, 1); break;
      case 'W': digits((day.yearday + 7 - (day.weekday + 6) % 7) / 7, 2); break;
      case 'y': digits(time.year % 100, 2); break;
      case 'Y': digits(time.year, 1); break;
      case 'z':
      case 'Z': break;  // the reference's clock carries no zone
      case '%': text = "%"; break;
      default: text = format.substr(begin, i - begin + 1); break;
    }
    const bool name = std::string_view("aAbBh").find(format[i]) != std::string_view::npos;
    if (upper || (swap && name)) {
      for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    }
    if (!number && text.size() < width) text.insert(0, width - text.size(), pad == '0' ? '0' : ' ');
    out += text;
  }
  return out;
}

}  // namespace bigmodel::tokenizer::jinja
