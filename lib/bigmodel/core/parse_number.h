// SPDX-License-Identifier: Apache-2.0
// Text that is a number and nothing else.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace bigmodel {

/// The whole text as a decimal number in the C locale, without blanks or a plus sign; none where it is anything else or does not fit.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

/// The name of a module in a list or sequence as its position, below 10^18: "7", but not "07" or "-1".
inline std::optional<std::int64_t> parse_list_index(std::string_view name) {
  if (name.empty() || name.size() > 18 || name[0] == '-' || (name.size() > 1 && name[0] == '0')) return std::nullopt;
  return parse_number<std::int64_t>(name);
}

}  // namespace bigmodel
