// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/reference_sizes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

namespace bigmodel {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::string_view strip(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r\x1c\x1d\x1e\x1f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Whether a number that double cannot hold is too large rather than too small: by the place of its first digit that counts.
bool is_huge(std::string_view number) {
  const std::size_t e = std::min(number.find_first_of("eE"), number.size());
  const std::string_view digits = number.substr(0, e);
  const std::size_t point = std::min(digits.find('.'), digits.size());
  const std::size_t first = std::min(digits.find_first_of("123456789"), digits.size());
  const bool negative_exponent = e + 1 < number.size() && number[e + 1] == '-';
  std::int64_t exponent = 0;
  if (e < number.size()) {
    const char* begin = number.data() + e + 1 + (is_digit(number[e + 1]) ? 0 : 1);
    if (std::from_chars(begin, number.data() + number.size(), exponent).ec != std::errc()) return !negative_exponent;
  }
  if (negative_exponent) exponent = -exponent;
  const auto place = static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first);
  return exponent > -place;
}

/// ASCII for the other digits and spaces that Python's float takes: full-width and Arabic-Indic digits, no-break, typographic and
/// ideographic spaces. Digits of further scripts are refused.
std::string to_ascii(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    const auto byte = [&rest](std::size_t k) { return k < rest.size() ? static_cast<unsigned char>(rest[k]) : 0U; };
    if (rest.starts_with("\xef\xbc") && byte(2) >= 0x90 && byte(2) <= 0x99) {
      out += static_cast<char>('0' + static_cast<int>(byte(2)) - 0x90);
      i += 2;
    } else if (byte(0) == 0xd9 && byte(1) >= 0xa0 && byte(1) <= 0xa9) {
      out += static_cast<char>('0' + static_cast<int>(byte(1)) - 0xa0);
      i += 1;
    } else if (rest.starts_with("\xc2\xa0")) {
      out += ' ';
      i += 1;
    } else if (rest.starts_with("\xe3\x80\x80") || rest.starts_with("\xe2\x80\xaf") ||
               (rest.starts_with("\xe2\x80") && byte(2) >= 0x80 && byte(2) <= 0x8a)) {
      out += ' ';
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// Python's float(text): spaces around, single underscores between digits, inf and nan.
std::optional<double> python_float(std::string_view original) {
  const std::string ascii = to_ascii(original);
  const std::string_view text = strip(ascii);
  std::string number;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      number += text[i];
      continue;
    }
    if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) return std::nullopt;
  }
  std::string_view rest = number;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty() || rest.front() == '-') return std::nullopt;
  const std::string word = upper(rest);
  const double sign = negative ? -1.0 : 1.0;
  if (word == "INF" || word == "INFINITY") return sign * std::numeric_limits<double>::infinity();
  if (word == "NAN") return std::numeric_limits<double>::quiet_NaN();
  if (!is_digit(rest.front()) && rest.front() != '.') return std::nullopt;
  double value = 0;
  const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size()) return std::nullopt;
  if (code == std::errc::result_out_of_range) value = is_huge(rest) ? std::numeric_limits<double>::infinity() : 0.0;
  else if (code != std::errc()) return std::nullopt;
  return sign * value;
}

/// Python's int(value) for a float that is no NaN.
std::int64_t python_int(double value, std::string_view text) {
  if (std::isinf(value)) throw ReferenceError("OverflowError", "cannot convert float infinity to integer");
  if (std::abs(value) >= 0x1p63) {
    throw UsageError(fmt::format("size: '{}' is too large, expected less than 2^63 bytes", text.substr(0, 64)),
                     "write a size such as 200MB, 1.5GiB or 1000000");
  }
  return static_cast<std::int64_t>(value);
}

struct Unit {
  std::string_view name;
  double bytes;
};

constexpr std::array kAccelerateUnits{Unit{"GIB", 0x1p30}, Unit{"MIB", 0x1p20}, Unit{"KIB", 0x1p10},
                                      Unit{"GB", 1e9},     Unit{"MB", 1e6},     Unit{"KB", 1e3}};
constexpr std::array kHubUnits{Unit{"TB", 1e12}, Unit{"GB", 1e9}, Unit{"MB", 1e6}, Unit{"KB", 1e3}};

}  // namespace

std::int64_t parse_accelerate_size(std::string_view text) {
  const ReferenceError refusal("ValueError", fmt::format("`size` {} is not in a valid format. Use an integer for bytes, or a string "
                                                         "with an unit (like '5.0GB').", text));
  const std::string folded = upper(text);
  for (const Unit& unit : kAccelerateUnits) {
    if (!folded.ends_with(unit.name)) continue;
    const std::optional<double> number = python_float(text.substr(0, text.size() - unit.name.size()));
    if (!number || std::isnan(*number)) throw refusal;
    std::int64_t bytes = python_int(*number * unit.bytes, text);
    if (bytes < 0) throw refusal;
    if (unit.name.size() == 2 && text.ends_with('b')) bytes /= 8;
    return bytes;
  }
  throw refusal;
}

std::int64_t parse_hub_size(std::string_view text) {
  const std::string_view size = strip(text);
  const std::string name = upper(size.substr(size.size() < 2 ? 0 : size.size() - 2));
  const auto unit = std::find_if(kHubUnits.begin(), kHubUnits.end(), [&name](const Unit& u) { return u.name == name; });
  if (unit == kHubUnits.end()) {
    throw ReferenceError("ValueError", fmt::format("Unit '{}' not supported. Supported units are TB, GB, MB, KB. Got '{}'.", name, size));
  }
  const std::string_view number_text = size.substr(0, size.size() - 2);
  const std::optional<double> number = python_float(number_text);
  if (!number) {
    throw ReferenceError("ValueError", fmt::format("Could not parse the size value from '{}': could not convert string to float: '{}'",
                                                   size, number_text));
  }
  if (std::isnan(*number)) throw ReferenceError("ValueError", "cannot convert float NaN to integer");
  return python_int(*number * unit->bytes, size);
}

DeviceBudgets get_max_memory(std::span<const std::pair<DeviceKey, BudgetArgument>> max_memory, std::int64_t accelerator_count) {
  DeviceBudgets out;
  for (const auto& [device, budget] : max_memory) {
    const auto* text = std::get_if<std::string>(&budget);
    const auto* real = std::get_if<double>(&budget);
    out.bytes.emplace_back(device, text != nullptr   ? ReferenceNumber(parse_accelerate_size(*text))
                                   : real != nullptr ? ReferenceNumber(*real)
                                                     : ReferenceNumber(std::get<std::int64_t>(budget)));
  }
  const auto rank = [](const DeviceKey& device) {
    constexpr std::array<std::string_view, 3> kNamed{"mps", "cpu", "disk"};
    const auto* name = std::get_if<std::string>(&device);
    if (name == nullptr) return std::ptrdiff_t{0};
    return std::find(kNamed.begin(), kNamed.end(), *name) - kNamed.begin() + 1;
  };
  for (const auto& [device, bytes] : out.bytes) {
    if (rank(device) <= 3) continue;
    throw ReferenceError("ValueError", fmt::format("Device {} is not recognized, available devices are integers(for GPU/XPU), "
                                                   "'mps', 'cpu' and 'disk'", to_string(device)));
  }
  std::stable_sort(out.bytes.begin(), out.bytes.end(), [&rank](const auto& a, const auto& b) {
    if (rank(a.first) != rank(b.first)) return rank(a.first) < rank(b.first);
    return rank(a.first) == 0 && std::get<std::int64_t>(a.first) < std::get<std::int64_t>(b.first);
  });
  std::vector<std::int64_t> available(static_cast<std::size_t>(std::clamp<std::int64_t>(accelerator_count, 0, 1024)));
  std::iota(available.begin(), available.end(), 0);
  for (const auto& [device, bytes] : out.bytes) {
    const auto* number = std::get_if<std::int64_t>(&device);
    if (number == nullptr || (*number >= 0 && *number < accelerator_count)) continue;
    out.warnings.push_back(fmt::format("Device {} is not available, available devices are [{}]", *number, fmt::join(available, ", ")));
  }
  return out;
}

}  // namespace bigmodel
