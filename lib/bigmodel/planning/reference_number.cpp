// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/reference_number.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr double kTwo63 = 9223372036854775808.0;

std::string whole_text(__int128 value) {
  const bool negative = value < 0;
  std::string digits;
  unsigned __int128 rest = negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  do {
    digits += static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

/// repr(float): shortest digits that read back, an exponent from 1e16 on and below 1e-4.
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string text(buffer, scientific.ptr);
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), exponent);
  if (value != 0 && (exponent < -4 || exponent >= 16)) return text;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

/// whole <=> real, exactly.
std::partial_ordering compare(__int128 whole, double real) {
  if (std::isnan(real)) return std::partial_ordering::unordered;
  constexpr double kLimit = 1e37;  // below 2^127, above every sum of sizes
  if (real >= kLimit) return std::partial_ordering::less;
  if (real <= -kLimit) return std::partial_ordering::greater;
  const double floor = std::floor(real);
  const auto below = static_cast<__int128>(floor);
  if (whole != below) return whole < below ? std::partial_ordering::less : std::partial_ordering::greater;
  return floor < real ? std::partial_ordering::less : std::partial_ordering::equivalent;
}

}  // namespace

ReferenceNumber ReferenceNumber::from_eighths(std::int64_t eighths, bool is_float) {
  return is_float ? ReferenceNumber(static_cast<double>(eighths) / 8) : ReferenceNumber(eighths / 8);
}

std::int64_t ReferenceNumber::as_bytes() const {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  if (!is_float_) return static_cast<std::int64_t>(std::clamp<__int128>(whole_, kLeast, kMost));
  if (std::isnan(real_)) return 0;
  if (real_ >= kTwo63) return kMost;
  if (real_ <= -kTwo63) return kLeast;
  return static_cast<std::int64_t>(real_);
}

ReferenceNumber ReferenceNumber::truncated(std::string_view object) const {
  const bool fits = is_float_ ? real_ > -kTwo63 && real_ < kTwo63 : true;
  if (!fits) throw UsageError(fmt::format("{}: {} is no number of bytes", object, to_string(*this)));
  return is_float_ ? ReferenceNumber(static_cast<std::int64_t>(real_)) : *this;
}

ReferenceNumber ReferenceNumber::floor_divided(std::int64_t n) const {
  if (is_float_) return std::floor(real_ / static_cast<double>(n));
  ReferenceNumber out;
  out.whole_ = whole_ / n - (whole_ % n < 0 ? 1 : 0);
  return out;
}

ReferenceNumber operator+(const ReferenceNumber& a, const ReferenceNumber& b) {
  if (a.is_float_ || b.is_float_) return a.as_double() + b.as_double();
  ReferenceNumber out;
  out.whole_ = a.whole_ + b.whole_;
  return out;
}

ReferenceNumber operator-(const ReferenceNumber& a, const ReferenceNumber& b) {
  if (a.is_float_ || b.is_float_) return a.as_double() - b.as_double();
  ReferenceNumber out;
  out.whole_ = a.whole_ - b.whole_;
  return out;
}

std::partial_ordering operator<=>(const ReferenceNumber& a, const ReferenceNumber& b) {
  if (a.is_float_ && b.is_float_) return a.real_ <=> b.real_;
  if (a.is_float_) return 0 <=> compare(b.whole_, a.real_);
  if (b.is_float_) return compare(a.whole_, b.real_);
  return a.whole_ <=> b.whole_;
}

std::string to_string(const ReferenceNumber& number) {
  return number.is_float_ ? float_text(number.real_) : whole_text(number.whole_);
}

std::string python_repr(std::string_view text) {
  const bool double_quoted = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quoted ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + quote;
}

}  // namespace bigmodel
