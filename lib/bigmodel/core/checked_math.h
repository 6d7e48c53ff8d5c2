// SPDX-License-Identifier: Apache-2.0
// Arithmetic on numbers that come from files: every overflow is an answer, never a wrap.
#pragma once

#include <concepts>
#include <optional>
#include <string_view>

namespace bigmodel {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> try_add(T a, T b) noexcept {
  T out{};
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> try_sub(T a, T b) noexcept {
  T out{};
  if (__builtin_sub_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> try_mul(T a, T b) noexcept {
  T out{};
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// Throws FormatError: `<object>: the number is too large`.
[[noreturn]] void throw_overflow(std::string_view object);

template <std::integral T>
[[nodiscard]] constexpr T checked_add(T a, T b, std::string_view object) {
  const std::optional<T> out = try_add(a, b);
  if (!out) throw_overflow(object);
  return *out;
}

template <std::integral T>
[[nodiscard]] constexpr T checked_mul(T a, T b, std::string_view object) {
  const std::optional<T> out = try_mul(a, b);
  if (!out) throw_overflow(object);
  return *out;
}

}  // namespace bigmodel
