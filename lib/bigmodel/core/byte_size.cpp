// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/byte_size.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <optional>
#include <span>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

struct Unit {
  std::string_view spelling;  // lower case, without the final b
  std::uint64_t bytes;
};

constexpr std::uint64_t kKi = 1024;
constexpr std::array kUnits{
    Unit{"", 1},
    Unit{"k", 1000},
    Unit{"m", 1000'000},
    Unit{"g", 1000'000'000},
    Unit{"t", 1000'000'000'000},
    Unit{"p", 1000'000'000'000'000},
    Unit{"ki", kKi},
    Unit{"mi", kKi * kKi},
    Unit{"gi", kKi * kKi * kKi},
    Unit{"ti", kKi * kKi * kKi * kKi},
    Unit{"pi", kKi * kKi * kKi * kKi * kKi},
};

std::optional<std::uint64_t> unit_bytes(std::string_view unit) {
  if (unit.empty()) return 1;
  // "10Gb" means bits to some people and bytes to others (accelerate divides by 8): only B is bytes.
  if (unit.back() == 'b' && unit.size() > 1 && std::isupper(static_cast<unsigned char>(unit.front()))) return std::nullopt;
  std::string lower;
  for (const char c : unit) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!lower.ends_with('b')) return std::nullopt;
  lower.pop_back();
  for (const Unit& u : kUnits) {
    if (u.spelling == lower) return u.bytes;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(std::string_view text, std::string_view object, std::string_view why) {
  throw UsageError(fmt::format("{}: '{}' {}", object, text.substr(0, 64), why),
                   "write a size such as 200MB, 1.5GiB or 1000000");
}

std::string format_scaled(std::uint64_t size_bytes, std::uint64_t step, std::span<const std::string_view> units) {
  if (size_bytes < step) return fmt::format("{} B", size_bytes);
  std::uint64_t scale = step;
  std::size_t i = 0;
  // The next unit starts where two decimals would otherwise round up to a full step ("1024.00 KiB").
  while (i + 1 < units.size() &&
         static_cast<double>(size_bytes) / static_cast<double>(scale) >= static_cast<double>(step) - 0.005) {
    scale *= step;
    ++i;
  }
  return fmt::format("{:.2f} {}", static_cast<double>(size_bytes) / static_cast<double>(scale), units[i]);
}

}  // namespace

std::uint64_t parse_byte_size(std::string_view text, std::string_view object) {
  std::string_view rest = text;
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  while (!rest.empty() && rest.back() == ' ') rest.remove_suffix(1);
  const auto digits = [&rest] {
    std::size_t n = 0;
    while (n < rest.size() && std::isdigit(static_cast<unsigned char>(rest[n]))) ++n;
    const std::string_view out = rest.substr(0, n);
    rest.remove_prefix(n);
    return out;
  };
  const std::string_view whole = digits();
  std::string_view fraction;
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    fraction = digits();
    if (fraction.empty()) refuse(text, object, "is not a size");
  }
  if (whole.empty()) refuse(text, object, "is not a size");
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  const std::optional<std::uint64_t> unit = unit_bytes(rest);
  if (!unit) refuse(text, object, "has an unknown unit");

  using Wide = unsigned __int128;
  constexpr Wide kMost = UINT64_MAX;
  Wide value = 0;
  for (const char c : whole) {
    value = value * 10 + static_cast<Wide>(c - '0');
    if (value > kMost) refuse(text, object, "is too large");
  }
  value *= *unit;
  if (value > kMost) refuse(text, object, "is too large");
  // 18 digits after the point say more than any unit can hold; the rest cannot change the floor by a byte worth having.
  Wide part = 0;
  Wide scale = 1;
  for (const char c : fraction.substr(0, 18)) {
    part = part * 10 + static_cast<Wide>(c - '0');
    scale *= 10;
  }
  value += part * *unit / scale;
  if (value > kMost) refuse(text, object, "is too large");
  return static_cast<std::uint64_t>(value);
}

std::string format_binary(std::uint64_t size_bytes) {
  static constexpr std::array<std::string_view, 6> kNames{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  return format_scaled(size_bytes, 1024, kNames);
}

std::string format_decimal(std::uint64_t size_bytes) {
  static constexpr std::array<std::string_view, 6> kNames{"KB", "MB", "GB", "TB", "PB", "EB"};
  return format_scaled(size_bytes, 1000, kNames);
}

}  // namespace bigmodel
