// SPDX-License-Identifier: Apache-2.0
// Numbers as the reference computes with them: Python's ints and floats, because which of the two a size is shows in its messages.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace bigmodel {

/// An int (128 bits: sums of sizes cannot overflow) or a float. Mixed sums are floats; comparisons are exact, and false for NaN.
class ReferenceNumber {
 public:
  constexpr ReferenceNumber() = default;
  constexpr ReferenceNumber(std::int64_t value) : whole_(value) {}          // NOLINT: as implicit as in Python
  constexpr ReferenceNumber(int value) : whole_(value) {}                   // NOLINT
  constexpr ReferenceNumber(double value) : is_float_(true), real_(value) {}  // NOLINT
  /// A size that is counted in eighths of a byte; it is whole unless it is a float.
  static ReferenceNumber from_eighths(std::int64_t eighths, bool is_float);

  constexpr bool is_float() const { return is_float_; }
  double as_double() const { return is_float_ ? real_ : static_cast<double>(whole_); }
  /// Rounded towards zero and clamped to 64 bits; 0 for NaN. For tables, not for the algorithm.
  std::int64_t as_bytes() const;
  /// int(x): the same number as an int. Throws UsageError where it does not fit 64 bits, or is NaN.
  ReferenceNumber truncated(std::string_view object) const;
  /// x // n for n > 0.
  ReferenceNumber floor_divided(std::int64_t n) const;

  friend ReferenceNumber operator+(const ReferenceNumber& a, const ReferenceNumber& b);
  friend ReferenceNumber operator-(const ReferenceNumber& a, const ReferenceNumber& b);
  ReferenceNumber& operator+=(const ReferenceNumber& other) { return *this = *this + other; }
  friend std::partial_ordering operator<=>(const ReferenceNumber& a, const ReferenceNumber& b);
  friend bool operator==(const ReferenceNumber& a, const ReferenceNumber& b) { return (a <=> b) == 0; }

  /// As Python prints it: "880", "880.0", "1e+16".
  friend std::string to_string(const ReferenceNumber& number);

 private:
  bool is_float_ = false;
  __int128 whole_ = 0;
  double real_ = 0;
};

/// Python's max and min: the first of equals.
inline const ReferenceNumber& first_max(const ReferenceNumber& a, const ReferenceNumber& b) { return b > a ? b : a; }
inline const ReferenceNumber& first_min(const ReferenceNumber& a, const ReferenceNumber& b) { return b < a ? b : a; }

/// repr() of a Python string, for messages: 'a', "it's", '\n' escaped.
std::string python_repr(std::string_view text);

}  // namespace bigmodel
