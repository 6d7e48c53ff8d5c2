// SPDX-License-Identifier: Apache-2.0
// Operators on values: checked integers, doubles where one operand is a double, strings and lists where Python has them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/spec/evaluator.h"
#include "bigmodel/spec/functions.h"

namespace bigmodel::spec {
namespace {

std::string_view symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::add: return "+";
    case BinaryOp::sub: return "-";
    case BinaryOp::mul: return "*";
    case BinaryOp::div: return "/";
    case BinaryOp::floor_div: return "//";
    case BinaryOp::mod: return "%";
    case BinaryOp::eq: return "==";
    case BinaryOp::ne: return "!=";
    case BinaryOp::lt: return "<";
    case BinaryOp::le: return "<=";
    case BinaryOp::gt: return ">";
    case BinaryOp::ge: return ">=";
    case BinaryOp::in: return "in";
    case BinaryOp::logical_and: return "and";
    case BinaryOp::logical_or: return "or";
  }
  return "?";
}

[[noreturn]] void cannot(BinaryOp op, const Value& a, const Value& b, const Place& place) {
  throw SpecError(fmt::format("cannot compute {} {} {}", a.describe(), symbol(op), b.describe()), place);
}

std::optional<std::int64_t> integer(const Value& v) {
  if (const std::int64_t* i = v.if_int()) return *i;
  if (const bool* b = v.if_bool()) return *b ? 1 : 0;
  return std::nullopt;
}

std::optional<double> number(const Value& v) {
  if (const double* d = v.if_double()) return *d;
  if (const auto i = integer(v)) return static_cast<double>(*i);
  return std::nullopt;
}

Value on_integers(BinaryOp op, std::int64_t a, std::int64_t b, const Place& place) {
  const auto checked = [&](std::optional<std::int64_t> v) -> Value {
    if (!v) throw SpecError(fmt::format("integer overflow: {} {} {}", a, symbol(op), b), place);
    return *v;
  };
  switch (op) {
    case BinaryOp::add: return checked(try_add(a, b));
    case BinaryOp::sub: return checked(try_sub(a, b));
    case BinaryOp::mul: return checked(try_mul(a, b));
    default: break;
  }
  if (b == 0) throw SpecError(fmt::format("division by zero: {} {} 0", a, symbol(op)), place);
  if (a == INT64_MIN && b == -1) {
    if (op == BinaryOp::mod) return 0;
    return checked(std::nullopt);
  }
  const std::int64_t quotient = a / b;
  const std::int64_t rest = a % b;
  const bool down = rest != 0 && (rest < 0) != (b < 0);  // C++ rounds toward zero, the language down
  if (op == BinaryOp::floor_div) return down ? quotient - 1 : quotient;
  if (op == BinaryOp::mod) return down ? rest + b : rest;
  if (rest != 0) throw SpecError(fmt::format("{} / {} is not exact (use // to round down)", a, b), place);
  return quotient;
}

Value on_doubles(BinaryOp op, double a, double b, const Place& place) {
  switch (op) {
    case BinaryOp::add: return a + b;
    case BinaryOp::sub: return a - b;
    case BinaryOp::mul: return a * b;
    default: break;
  }
  if (b == 0) throw SpecError(fmt::format("division by zero: {} {} 0", a, symbol(op)), place);
  if (op == BinaryOp::div) return a / b;
  if (op == BinaryOp::floor_div) return std::floor(a / b);
  return a - b * std::floor(a / b);
}

template <typename T>
Value ordered(BinaryOp op, const T& a, const T& b) {
  switch (op) {
    case BinaryOp::lt: return a < b;
    case BinaryOp::le: return a <= b;
    case BinaryOp::gt: return a > b;
    default: return a >= b;
  }
}

Value arithmetic(BinaryOp op, const Value& a, const Value& b, const Place& place) {
  const auto x = integer(a), y = integer(b);
  if (x && y) return on_integers(op, *x, *y, place);
  const auto dx = number(a), dy = number(b);
  if (dx && dy) return on_doubles(op, *dx, *dy, place);
  if (op == BinaryOp::add && a.if_string() != nullptr && b.if_string() != nullptr) {
    if (a.if_string()->size() + b.if_string()->size() > Evaluator::kLongestText) throw SpecError("the text is too long", place);
    return *a.if_string() + *b.if_string();
  }
  if (op == BinaryOp::add && a.if_list() != nullptr && b.if_list() != nullptr) {
    List out = *a.if_list();
    if (out.size() + b.if_list()->size() > static_cast<std::size_t>(Evaluator::kLongestList)) {
      throw SpecError(fmt::format("a list is too long (limit {})", Evaluator::kLongestList), place);
    }
    out.insert(out.end(), b.if_list()->begin(), b.if_list()->end());
    return out;
  }
  if (op == BinaryOp::mul && a.if_list() != nullptr && y) {
    const auto length = try_mul<std::int64_t>(static_cast<std::int64_t>(a.if_list()->size()), std::max<std::int64_t>(*y, 0));
    if (!length || *length > Evaluator::kLongestList) {
      throw SpecError(fmt::format("a list is too long (limit {})", Evaluator::kLongestList), place);
    }
    List out;
    for (std::int64_t i = 0; i < *y; ++i) out.insert(out.end(), a.if_list()->begin(), a.if_list()->end());
    return out;
  }
  cannot(op, a, b, place);
}

bool contains(const Value& item, const Value& in, const Place& place) {
  if (in.is_null()) return false;
  if (const List* list = in.if_list()) return std::ranges::find(*list, item) != list->end();
  if (const Map* map = in.if_map()) return item.if_string() != nullptr && find(*map, *item.if_string()) != nullptr;
  if (in.if_string() != nullptr && item.if_string() != nullptr) return in.if_string()->find(*item.if_string()) != std::string::npos;
  cannot(BinaryOp::in, item, in, place);
}

}  // namespace

Value apply_binary(BinaryOp op, const Value& a, const Value& b, const Place& place) {
  switch (op) {
    case BinaryOp::add:
    case BinaryOp::sub:
    case BinaryOp::mul:
    case BinaryOp::div:
    case BinaryOp::floor_div:
    case BinaryOp::mod: return arithmetic(op, a, b, place);
    case BinaryOp::eq: return a == b;
    case BinaryOp::ne: return !(a == b);
    case BinaryOp::in: return contains(a, b, place);
    case BinaryOp::lt:
    case BinaryOp::le:
    case BinaryOp::gt:
    case BinaryOp::ge: {
      const auto x = integer(a), y = integer(b);
      if (x && y) return ordered(op, *x, *y);
      const auto dx = number(a), dy = number(b);
      if (dx && dy) return ordered(op, *dx, *dy);
      if (a.if_string() != nullptr && b.if_string() != nullptr) return ordered(op, *a.if_string(), *b.if_string());
      cannot(op, a, b, place);
    }
    case BinaryOp::logical_and: return a.truthy() && b.truthy();
    case BinaryOp::logical_or: return a.truthy() || b.truthy();
  }
  cannot(op, a, b, place);
}

Value apply_negate(const Value& a, const Place& place) {
  if (const double* d = a.if_double()) return -*d;
  if (const auto v = integer(a)) return on_integers(BinaryOp::sub, 0, *v, place);
  throw SpecError(fmt::format("cannot compute -{}", a.describe()), place);
}

}  // namespace bigmodel::spec
