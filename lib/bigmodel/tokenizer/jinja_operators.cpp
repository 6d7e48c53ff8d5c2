// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bigmodel/tokenizer/jinja_format.h"
#include "bigmodel/tokenizer/jinja_methods.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

std::string_view symbol(ExprKind op) {
  switch (op) {
    case ExprKind::add: return "+";
    case ExprKind::sub: return "-";
    case ExprKind::mul: return "*";
    case ExprKind::div: return "/";
    case ExprKind::floordiv: return "//";
    case ExprKind::mod: return "%";
    default: return "** or pow()";
  }
}

[[noreturn]] void overflow() { throw JinjaError("OverflowError", "an integer of more than 127 bits"); }
[[noreturn]] void zero_division(const char* message) { throw JinjaError("ZeroDivisionError", message); }

Int power(Int base, Int exponent) {
  Int out = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(out, base, &out)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return out;
}

Int floor_div(Int a, Int b) {
  if (b == -1) {
    Int out = 0;
    if (__builtin_sub_overflow(static_cast<Int>(0), a, &out)) overflow();
    return out;
  }
  const Int quotient = a / b;
  return a % b != 0 && ((a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

Int floor_mod(Int a, Int b) {
  if (b == -1) return 0;
  const Int rest = a % b;
  return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
}

double float_mod(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) rest += b;
  } else {
    rest = std::copysign(0.0, b);
  }
  return rest;
}

double float_floor_div(double a, double b) {
  const double rest = float_mod(a, b);
  double quotient = (a - rest) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value int_arithmetic(ExprKind op, Int a, Int b) {
  Int out = 0;
  switch (op) {
    case ExprKind::add:
      if (__builtin_add_overflow(a, b, &out)) overflow();
      return Value(out);
    case ExprKind::sub:
      if (__builtin_sub_overflow(a, b, &out)) overflow();
      return Value(out);
    case ExprKind::mul:
      if (__builtin_mul_overflow(a, b, &out)) overflow();
      return Value(out);
    case ExprKind::div:
      if (b == 0) zero_division("division by zero");
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case ExprKind::floordiv:
      if (b == 0) zero_division("integer division or modulo by zero");
      return Value(floor_div(a, b));
    case ExprKind::mod:
      if (b == 0) zero_division("integer modulo by zero");
      return Value(floor_mod(a, b));
    default:
      if (b >= 0) return Value(power(a, b));
      if (a == 0) zero_division("0.0 cannot be raised to a negative power");
      return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
}

Value float_arithmetic(ExprKind op, double a, double b) {
  switch (op) {
    case ExprKind::add: return Value(a + b);
    case ExprKind::sub: return Value(a - b);
    case ExprKind::mul: return Value(a * b);
    case ExprKind::div:
      if (b == 0) zero_division("float division by zero");
      return Value(a / b);
    case ExprKind::floordiv:
      if (b == 0) zero_division("float floor division by zero");
      return Value(float_floor_div(a, b));
    case ExprKind::mod:
      if (b == 0) zero_division("float modulo");
      return Value(float_mod(a, b));
    default: {
      if (a == 0 && b < 0) zero_division("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(b) && std::floor(b) != b) type_error("complex numbers are not supported");
      const double out = std::pow(a, b);
      if (std::isinf(out) && std::isfinite(a) && std::isfinite(b)) {
        throw JinjaError("OverflowError", "(34, 'Numerical result out of range')");
      }
      return Value(out);
    }
  }
}

std::optional<double> as_float(const Value& value) {
  if (const double* d = value.if_float()) return *d;
  if (const auto i = value.if_int()) return static_cast<double>(*i);
  return std::nullopt;
}

Value repeated(Machine& machine, const Value& sequence, Int count) {
  count = std::max<Int>(count, 0);
  if (const Text* text = sequence.if_text()) {
    if (count != 0 && static_cast<Int>(text->bytes.size()) > static_cast<Int>(machine.limits().text_bytes) / count) {
      machine.charge(machine.limits().text_bytes + 1);
    }
    machine.charge(text->bytes.size() * static_cast<std::uint64_t>(count));
    std::string out;
    for (Int i = 0; i < count && !text->bytes.empty(); ++i) out += text->bytes;
    return Value(std::move(out), text->markup);
  }
  const std::vector<Value>& items = sequence.if_sequence()->items;
  const auto unit = static_cast<Int>(std::max<std::size_t>(items.size() * sizeof(Value), 1));
  if (count != 0 && unit > static_cast<Int>(machine.limits().text_bytes) / count) machine.charge(machine.limits().text_bytes + 1);
  machine.charge(static_cast<std::uint64_t>(unit * count));
  std::vector<Value> out;
  for (Int i = 0; i < count && !items.empty(); ++i) out.insert(out.end(), items.begin(), items.end());
  return sequence.if_list() != nullptr ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

Value joined(Machine& machine, const Value& a, const Value& b) {
  if (const Text* left = a.if_text()) {
    const Text& right = *b.if_text();
    machine.charge(left->bytes.size() + right.bytes.size());
    if (left->markup == right.markup) return Value(left->bytes + right.bytes, left->markup);
    return Value((left->markup ? left->bytes : escape_text(left->bytes)) + (right.markup ? right.bytes : escape_text(right.bytes)), true);
  }
  std::vector<Value> out = a.if_sequence()->items;
  const std::vector<Value>& more = b.if_sequence()->items;
  machine.charge((out.size() + more.size()) * sizeof(Value));
  out.insert(out.end(), more.begin(), more.end());
  return a.if_list() != nullptr ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

bool is_sequence(const Value& value) { return value.if_text() != nullptr || value.if_sequence() != nullptr; }

enum class Order { less, equal, greater };

Order order(Machine& machine, std::string_view op, const Value& a, const Value& b) {
  machine.step();
  if (const UndefinedInfo* info = a.if_undefined()) fail_undefined(*info);
  if (const UndefinedInfo* info = b.if_undefined()) fail_undefined(*info);
  const auto ordered = [](const auto& x, const auto& y) { return x < y ? Order::less : y < x ? Order::greater : Order::equal; };
  const auto ai = a.if_int();
  const auto bi = b.if_int();
  if (ai && bi) return ordered(*ai, *bi);
  const auto ad = as_float(a);
  const auto bd = as_float(b);
  if (ad && bd) return ordered(*ad, *bd);
  const Text* at = a.if_text();
  const Text* bt = b.if_text();
  if (at != nullptr && bt != nullptr) return ordered(at->bytes, bt->bytes);
  if ((a.if_list() != nullptr && b.if_list() != nullptr) || (a.if_tuple() != nullptr && b.if_tuple() != nullptr)) {
    const std::vector<Value>& left = a.if_sequence()->items;
    const std::vector<Value>& right = b.if_sequence()->items;
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      machine.step(std::min(left[i].weight(), right[i].weight()));
      if (!equal(left[i], right[i])) return order(machine, op, left[i], right[i]);
    }
    return ordered(left.size(), right.size());
  }
  type_error(fmt::format("'{}' not supported between instances of '{}' and '{}'", op, a.type_name(), b.type_name()));
}

}  // namespace

Value arithmetic(Machine& machine, ExprKind op, const Value& a, const Value& b) {
  if (op == ExprKind::mod && a.if_text() != nullptr) return percent_format(machine, *a.if_text(), b);
  if (const UndefinedInfo* info = a.if_undefined()) fail_undefined(*info);
  if (const UndefinedInfo* info = b.if_undefined()) fail_undefined(*info);
  const auto ai = a.if_int();
  const auto bi = b.if_int();
  if (ai && bi) return int_arithmetic(op, *ai, *bi);
  const auto ad = as_float(a);
  const auto bd = as_float(b);
  if (ad && bd) return float_arithmetic(op, *ad, *bd);
  if (op == ExprKind::add && is_sequence(a)) {
    const bool same = (a.if_text() != nullptr && b.if_text() != nullptr) || (a.if_list() != nullptr && b.if_list() != nullptr) ||
                      (a.if_tuple() != nullptr && b.if_tuple() != nullptr);
    if (same) return joined(machine, a, b);
    const std::string name = a.if_text() != nullptr ? "str" : a.if_list() != nullptr ? "list" : "tuple";
    type_error(fmt::format("can only concatenate {} (not \"{}\") to {}", name, b.type_name(), name));
  }
  if (op == ExprKind::mul && (is_sequence(a) || is_sequence(b))) {
    const Value& sequence = is_sequence(a) ? a : b;
    const Value& count = is_sequence(a) ? b : a;
    const auto times = count.if_int();
    if (!times) type_error("can't multiply sequence by non-int of type '" + count.type_name() + "'");
    return repeated(machine, sequence, *times);
  }
  type_error(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op), a.type_name(), b.type_name()));
}

Value negate(const Value& value, bool minus) {
  if (const UndefinedInfo* info = value.if_undefined()) fail_undefined(*info);
  if (const double* d = value.if_float()) return Value(minus ? -*d : *d);
  if (const auto i = value.if_int()) return int_arithmetic(minus ? ExprKind::sub : ExprKind::add, 0, *i);
  type_error(fmt::format("bad operand type for unary {}: '{}'", minus ? "-" : "+", value.type_name()));
}

bool compare(Machine& machine, CompareOp op, const Value& a, const Value& b) {
  if (op == CompareOp::in) return contains(machine, b, a);
  if (op == CompareOp::notin) return !contains(machine, b, a);
  if (op == CompareOp::eq || op == CompareOp::ne) {
    machine.step(std::min(a.weight(), b.weight()));
    return equal(a, b) == (op == CompareOp::eq);
  }
  if (const UndefinedInfo* info = a.if_undefined()) fail_undefined(*info);
  if (const UndefinedInfo* info = b.if_undefined()) fail_undefined(*info);
  const auto ad = as_float(a);
  const auto bd = as_float(b);
  if ((ad && std::isnan(*ad) && bd) || (bd && std::isnan(*bd) && ad)) return false;
  switch (op) {
    case CompareOp::lt: return order(machine, "<", a, b) == Order::less;
    case CompareOp::lteq: return order(machine, "<=", a, b) != Order::greater;
    case CompareOp::gt: return order(machine, ">", a, b) == Order::greater;
    default: return order(machine, ">=", a, b) != Order::less;
  }
}

bool less(Machine& machine, const Value& a, const Value& b) { return compare(machine, CompareOp::lt, a, b); }

bool contains(Machine& machine, const Value& container, const Value& item) {
  if (const Text* text = container.if_text()) {
    const Text* part = item.if_text();
    if (part == nullptr) type_error("'in <string>' requires string as left operand, not " + item.type_name());
    machine.charge(text->bytes.size());
    return ::memmem(text->bytes.data(), text->bytes.size(), part->bytes.data(), part->bytes.size()) != nullptr;
  }
  if (const Dict* dict = container.if_dict()) return dict->find(item) != nullptr;
  if (const Sequence* sequence = container.if_sequence()) {
    return std::ranges::any_of(sequence->items, [&](const Value& other) {
      machine.step(std::min(other.weight(), item.weight()));
      return equal(other, item);
    });
  }
  if (container.is_undefined()) return false;
  Object* object = container.if_object();
  std::unique_ptr<Iterator> it = object == nullptr ? nullptr : object->iterate();
  if (it == nullptr) type_error("argument of type '" + container.type_name() + "' is not iterable");
  while (const std::optional<Value> other = it->next(machine)) {
    machine.step(std::min(other->weight(), item.weight()));
    if (equal(*other, item)) return true;
  }
  return false;
}

std::int64_t clamp_index(Int value) {
  return static_cast<std::int64_t>(std::clamp<Int>(value, std::numeric_limits<std::int64_t>::min() / 2, std::numeric_limits<std::int64_t>::max() / 2));
}

std::vector<std::int64_t> slice_positions(Machine& machine, std::int64_t length, const Value& begin, const Value& end, const Value& step) {
  const auto bound = [](const Value& value) -> std::optional<std::int64_t> {
    if (value.is_none()) return std::nullopt;
    if (const auto i = value.if_int()) return clamp_index(*i);
    type_error("slice indices must be integers or None or have an __index__ method");
  };
  const std::int64_t stride = bound(step).value_or(1);
  if (stride == 0) value_error("slice step cannot be zero");
  const std::int64_t low = stride < 0 ? -1 : 0;
  const std::int64_t high = stride < 0 ? length - 1 : length;
  const auto placed = [&](const Value& value, std::int64_t missing) {
    std::optional<std::int64_t> at = bound(value);
    if (!at) return missing;
    if (*at < 0) *at += length;
    return std::clamp(*at, low, high);
  };
  const std::int64_t first = placed(begin, stride < 0 ? high : low);
  const std::int64_t last = placed(end, stride < 0 ? low : high);
  std::vector<std::int64_t> out;
  for (std::int64_t i = first; stride < 0 ? i > last : i < last; i += stride) out.push_back(i);
  machine.step(out.size() / 8);
  return out;
}

Value slice(Machine& machine, const Value& object, const Value& begin, const Value& end, const Value& step) {
  if (const UndefinedInfo* info = object.if_undefined()) fail_undefined(*info);
  if (const Text* text = object.if_text()) {
    machine.charge(text->bytes.size());
    const std::vector<std::int64_t> at = slice_positions(machine, text->length, begin, end, step);
    if (text->ascii()) {
      std::string out;
      for (const std::int64_t i : at) out.push_back(text->bytes[static_cast<std::size_t>(i)]);
      return Value(std::move(out), text->markup);
    }
    const std::u32string points = decode(text->bytes);
    std::u32string out;
    for (const std::int64_t i : at) {
      if (static_cast<std::size_t>(i) < points.size()) out.push_back(points[static_cast<std::size_t>(i)]);
    }
    return Value(encode(out), text->markup);
  }
  if (const Sequence* sequence = object.if_sequence()) {
    std::vector<Value> out;
    for (const std::int64_t i : slice_positions(machine, static_cast<std::int64_t>(sequence->items.size()), begin, end, step)) {
      out.push_back(sequence->items[static_cast<std::size_t>(i)]);
    }
    machine.charge(out.size() * sizeof(Value));
    return object.if_list() != nullptr ? Value::list(std::move(out)) : Value::tuple(std::move(out));
  }
  if (object.if_dict() != nullptr) type_error("unhashable type: 'slice'");
  if (Object* other = object.if_object(); other != nullptr && other->subscriptable()) {
    if (std::unique_ptr<Iterator> it = other->iterate()) {
      std::vector<Value> items = collect(machine, object);
      return slice(machine, Value::list(std::move(items)), begin, end, step);
    }
  }
  type_error("'" + object.type_name() + "' object is not subscriptable");
}

std::optional<Value> find_attribute(const Value& object, std::string_view name) {
  if (Object* other = object.if_object()) {
    if (std::optional<Value> value = other->attribute(name)) return value;
    if (!has_dunder(object, name)) return std::nullopt;
    return Value::undefined(fmt::format("access to attribute {} of {} object is unsafe.", repr_text(name), repr_text(object.type_name())), true);
  }
  return builtin_attribute(object, name);
}

namespace {

std::optional<Value> find_item(Machine& machine, const Value& object, const Value& key) {
  if (const UndefinedInfo* info = object.if_undefined()) fail_undefined(*info);
  if (const Dict* dict = object.if_dict()) {
    if (key.if_list() != nullptr || key.if_dict() != nullptr) return std::nullopt;
    if (const Value* value = dict->find(key)) return *value;
    return std::nullopt;
  }
  if (Object* other = object.if_object()) return other->item(machine, key);
  const auto index = key.if_int();
  if (!index) return std::nullopt;
  std::int64_t at = clamp_index(*index);
  if (const Text* text = object.if_text()) {
    if (at < 0) at += text->length;
    if (at < 0 || at >= text->length) return std::nullopt;
    if (text->ascii()) return Value(text->bytes.substr(static_cast<std::size_t>(at), 1), text->markup);
    machine.step(text->bytes.size() / 64);
    std::size_t byte = 0;
    for (std::int64_t i = 0;; ++byte) {
      if ((static_cast<unsigned char>(text->bytes[byte]) & 0xC0U) != 0x80U && i++ == at) break;
    }
    std::size_t end = byte + 1;
    while (end < text->bytes.size() && (static_cast<unsigned char>(text->bytes[end]) & 0xC0U) == 0x80U) ++end;
    return Value(text->bytes.substr(byte, end - byte), text->markup);
  }
  if (const Sequence* sequence = object.if_sequence()) {
    const auto size = static_cast<std::int64_t>(sequence->items.size());
    if (at < 0) at += size;
    if (at >= 0 && at < size) return sequence->items[static_cast<std::size_t>(at)];
  }
  return std::nullopt;
}

Value not_found(Machine& machine, const Value& object, const Value& key) {
  if (const Text* name = key.if_text()) {
    return Value::undefined(fmt::format("{} has no attribute {}", repr_text(object.described()), repr_text(name->bytes)));
  }
  return Value::undefined(fmt::format("{} has no element {}", object.described(), repr(machine, key)));
}

}  // namespace

Value get_attribute(Machine& machine, const Value& object, std::string_view name) {
  if (const UndefinedInfo* info = object.if_undefined()) fail_undefined(*info);
  if (std::optional<Value> value = find_attribute(object, name)) return std::move(*value);
  if (const Dict* dict = object.if_dict()) {
    if (const Value* value = dict->find(name)) return *value;
  } else if (Object* other = object.if_object()) {
    if (std::optional<Value> value = other->item(machine, Value(name))) return std::move(*value);
  }
  return not_found(machine, object, Value(name));
}

Value get_item(Machine& machine, const Value& object, const Value& key) {
  if (std::optional<Value> value = find_item(machine, object, key)) return std::move(*value);
  if (const Text* name = key.if_text()) {
    if (std::optional<Value> value = find_attribute(object, name->bytes)) return std::move(*value);
  }
  return not_found(machine, object, key);
}

bool is_callable(const Value& value) {
  const Object* object = value.if_object();
  return (object != nullptr && object->callable()) || value.is_undefined();
}

Value call(Machine& machine, const Value& callee, Arguments arguments) {
  machine.step();
  if (const UndefinedInfo* info = callee.if_undefined()) fail_undefined(*info);
  Object* object = callee.if_object();
  if (object == nullptr) type_error("'" + callee.type_name() + "' object is not callable");
  return object->call(machine, std::move(arguments));
}

std::string escape_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string escape(Machine& machine, const Value& value) {
  if (const Text* text = value.if_text(); text != nullptr && text->markup) return text->bytes;
  return escape_text(str(machine, value));
}

}  // namespace bigmodel::tokenizer::jinja
