// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

template <std::size_t N>
bool one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::ranges::find(names, name) != names.end();
}

constexpr std::array<std::string_view, 27> kObjectDunders{
    "__class__",  "__delattr__", "__dir__",           "__doc__",    "__eq__",     "__format__",      "__ge__",
    "__getattribute__", "__getstate__", "__gt__",     "__hash__",   "__init__",   "__init_subclass__", "__le__",
    "__lt__",     "__ne__",      "__new__",           "__reduce__", "__reduce_ex__", "__repr__",     "__setattr__",
    "__sizeof__", "__str__",     "__subclasshook__",  "__module__", "__dict__",   "__weakref__"};
constexpr std::array<std::string_view, 5> kSequenceDunders{"__add__", "__contains__", "__getitem__", "__iter__", "__len__"};
constexpr std::array<std::string_view, 8> kListChanging{"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"};
constexpr std::array<std::string_view, 5> kDictChanging{"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::array<std::string_view, 6> kDictMethods{"get", "keys", "values", "items", "copy", "fromkeys"};
constexpr std::array<std::string_view, 3> kListMethods{"index", "count", "copy"};
constexpr std::array<std::string_view, 6> kIntMethods{"bit_length", "bit_count", "conjugate", "as_integer_ratio", "to_bytes", "from_bytes"};
constexpr std::array<std::string_view, 5> kFloatMethods{"is_integer", "conjugate", "as_integer_ratio", "hex", "fromhex"};

/// A live view of a dict: keys, values or items.
class DictView : public Object {
 public:
  enum class Part { keys, values, items };
  DictView(Value dict, Part part) : dict_(std::move(dict)), part_(part) {}

  std::string type_name() const override { return part_ == Part::keys ? "dict_keys" : part_ == Part::values ? "dict_values" : "dict_items"; }
  bool truthy() const override { return dict().size() != 0; }
  std::optional<std::int64_t> length(Machine&) override { return static_cast<std::int64_t>(dict().size()); }
  std::uint32_t depth() const override { return dict().depth() + 1; }
  std::string repr(Machine& machine) const override {
    std::vector<Value> items;
    for (std::size_t i = 0; i < dict().size(); ++i) items.push_back(at(i));
    return type_name() + "(" + jinja::repr(machine, Value::list(std::move(items))) + ")";
  }
  std::unique_ptr<Iterator> iterate() override;
  bool equals(const Object& other) const override {
    const auto* view = dynamic_cast<const DictView*>(&other);
    if (view == nullptr || part_ == Part::values || view->part_ != part_) return this == &other;
    return part_ == Part::items ? equal(dict_, view->dict_) : dict().size() == view->dict().size() && std::ranges::all_of(dict().entries(), [&](const auto& entry) {
      return view->dict().find(entry.first) != nullptr;
    });
  }

 private:
  friend class DictViewIterator;
  const Dict& dict() const { return *dict_.if_dict(); }
  Value at(std::size_t i) const {
    const auto& [key, value] = dict().entries()[i];
    return part_ == Part::keys ? key : part_ == Part::values ? value : Value::tuple({key, value});
  }

  Value dict_;
  Part part_;
};

class DictViewIterator : public Iterator {
 public:
  explicit DictViewIterator(std::shared_ptr<Object> owner) : owner_(std::move(owner)) {}
  std::optional<Value> next(Machine& machine) override {
    machine.step();
    const auto& view = static_cast<const DictView&>(*owner_);
    if (at_ >= view.dict().size()) return std::nullopt;
    return view.at(at_++);
  }

 private:
  std::shared_ptr<Object> owner_;
  std::size_t at_ = 0;
};

std::unique_ptr<Iterator> DictView::iterate() { return std::make_unique<DictViewIterator>(shared_from_this()); }

class Bytes : public Object {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string type_name() const override { return "bytes"; }
  bool truthy() const override { return !bytes_.empty(); }
  std::optional<std::int64_t> length(Machine&) override { return static_cast<std::int64_t>(bytes_.size()); }
  std::string repr(Machine&) const override {
    const char quote = bytes_.find('\'') != std::string::npos && bytes_.find('"') == std::string::npos ? '"' : '\'';
    std::string out = std::string("b") + quote;
    for (const char c : bytes_) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == quote || c == '\\') out += std::string("\\") + c;
      else if (c == '\n') out += "\\n";
      else if (c == '\r') out += "\\r";
      else if (c == '\t') out += "\\t";
      else if (byte < 0x20 || byte >= 0x7F) out += fmt::format("\\x{:02x}", byte);
      else out += c;
    }
    return out + quote;
  }
  std::optional<Value> attribute(std::string_view name) override;
  std::optional<Value> item(Machine&, const Value& key) override {
    const auto index = key.if_int();
    if (!index) return std::nullopt;
    std::int64_t at = clamp_index(*index);
    if (at < 0) at += static_cast<std::int64_t>(bytes_.size());
    if (at < 0 || at >= static_cast<std::int64_t>(bytes_.size())) return std::nullopt;
    return Value(static_cast<int>(static_cast<unsigned char>(bytes_[static_cast<std::size_t>(at)])));
  }
  bool equals(const Object& other) const override {
    const auto* bytes = dynamic_cast<const Bytes*>(&other);
    return bytes != nullptr && bytes->bytes_ == bytes_;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class BoundMethod : public Object {
 public:
  BoundMethod(Value self, std::string_view name) : self_(std::move(self)), name_(name) {}
  std::string type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  std::uint32_t depth() const override { return self_.depth() + 1; }
  std::string repr(Machine&) const override { return "<built-in method " + name_ + " of " + self_.type_name() + " object>"; }
  Value call(Machine& machine, Arguments arguments) override;
  bool equals(const Object& other) const override {
    const auto* method = dynamic_cast<const BoundMethod*>(&other);
    return method != nullptr && method->name_ == name_ && method->self_.same_as(self_);
  }

 private:
  Value call_dict(Machine& machine, Arguments arguments);
  Value call_sequence(Machine& machine, Arguments arguments);
  Value call_number(Arguments arguments);

  Value self_;
  std::string name_;
};

Value method(const Value& self, std::string_view name) {
  if (self.depth() >= kMostNested) limit_error("values nested too deeply");
  return Value(std::static_pointer_cast<Object>(std::make_shared<BoundMethod>(self, name)));
}

Value unsafe(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("access to attribute {} of {} object is unsafe.", repr_text(name), repr_text(object.type_name())), true);
}

std::optional<Value> Bytes::attribute(std::string_view name) {
  if (name == "decode") return method(Value(std::static_pointer_cast<Object>(shared_from_this())), name);
  return std::nullopt;
}

Value BoundMethod::call_dict(Machine& machine, Arguments arguments) {
  const Dict& dict = *self_.if_dict();
  if (name_ == "get") {
    if (!arguments.keywords.empty()) type_error("dict.get() takes no keyword arguments");
    const Bound bound("get", {"key", "default"}, 1, std::move(arguments));
    const Value* value = dict.find(bound[0]);
    return value != nullptr ? *value : bound.or_else(1, Value());
  }
  if (name_ == "fromkeys") {
    const Bound bound("fromkeys", {"iterable", "value"}, 1, std::move(arguments));
    Dict out;
    for (Value& key : collect(machine, bound[0])) out.set(std::move(key), bound.or_else(1, Value()));
    return Value::dict(std::move(out));
  }
  const Bound none(name_, {}, 0, std::move(arguments));
  if (name_ == "copy") return self_;
  const DictView::Part part = name_ == "keys" ? DictView::Part::keys : name_ == "values" ? DictView::Part::values : DictView::Part::items;
  return Value(std::static_pointer_cast<Object>(std::make_shared<DictView>(self_, part)));
}

Value BoundMethod::call_sequence(Machine& machine, Arguments arguments) {
  const std::vector<Value>& items = self_.if_sequence()->items;
  if (name_ == "copy") {
    const Bound none(name_, {}, 0, std::move(arguments));
    return self_;
  }
  if (name_ == "count") {
    const Bound bound(name_, {"value"}, 1, std::move(arguments));
    machine.step(self_.weight());
    return Value(static_cast<std::int64_t>(std::ranges::count_if(items, [&](const Value& item) { return equal(item, bound[0]); })));
  }
  const Bound bound(name_, {"value", "start", "stop"}, 1, std::move(arguments));
  machine.step(self_.weight());
  const auto size = static_cast<std::int64_t>(items.size());
  const auto place = [&](std::size_t at, std::int64_t otherwise) {
    std::int64_t value = bound.integer(at, otherwise);
    if (value < 0) value = std::max<std::int64_t>(value + size, 0);
    return std::min(value, size);
  };
  for (std::int64_t i = place(1, 0); i < place(2, size); ++i) {
    if (equal(items[static_cast<std::size_t>(i)], bound[0])) return Value(i);
  }
  value_error(self_.if_list() != nullptr ? jinja::repr(machine, bound[0]) + " is not in list" : "tuple.index(x): x not in tuple");
}

Value BoundMethod::call_number(Arguments arguments) {
  const Bound none(name_, {}, 0, std::move(arguments));
  if (const double* d = self_.if_float()) {
    if (name_ == "is_integer") return Value(std::isfinite(*d) && std::floor(*d) == *d);
    if (name_ == "conjugate") return self_;
    throw JinjaError("SecurityError", "float." + name_ + " is not available in chat templates");
  }
  const Int value = self_.if_int().value_or(0);
  if (name_ == "conjugate") return Value(value);
  if (name_ == "as_integer_ratio") return Value::tuple({Value(value), Value(1)});
  std::int64_t length = 0;
  std::int64_t ones = 0;
  for (Int rest = value < 0 ? -value : value; rest > 0; rest >>= 1) {
    ++length;
    ones += static_cast<std::int64_t>(rest & 1);
  }
  if (name_ == "bit_length") return Value(length);
  if (name_ == "bit_count") return Value(ones);
  throw JinjaError("SecurityError", "int." + name_ + " is not available in chat templates");
}

Value BoundMethod::call(Machine& machine, Arguments arguments) {
  if (self_.if_text() != nullptr) return call_text_method(machine, self_, name_, std::move(arguments));
  if (self_.if_dict() != nullptr) return call_dict(machine, std::move(arguments));
  if (self_.if_sequence() != nullptr) return call_sequence(machine, std::move(arguments));
  if (const auto* bytes = self_.if_object_of<Bytes>()) {
    const Bound bound("decode", {"encoding", "errors"}, 0, std::move(arguments));
    return Value(encode(decode(bytes->bytes())));
  }
  return call_number(std::move(arguments));
}

std::string ascii_digits(std::string_view text) {
  std::u32string points = decode(text);
  std::u32string_view view = points;
  while (!view.empty() && is_space(view.front())) view.remove_prefix(1);
  while (!view.empty() && is_space(view.back())) view.remove_suffix(1);
  std::string out;
  for (const char32_t c : view) {
    const int digit = decimal_value(c);
    if (digit >= 0) {
      out += static_cast<char>('0' + digit);
    } else {
      append_utf8(out, c);
    }
  }
  return out;
}

}  // namespace

Value make_bytes(std::string bytes) { return Value(std::static_pointer_cast<Object>(std::make_shared<Bytes>(std::move(bytes)))); }

bool has_dunder(const Value& object, std::string_view name) {
  if (!name.starts_with("__")) return false;
  if (one_of(name, kObjectDunders)) {
    const bool plain = object.if_object() == nullptr;
    return !(plain && (name == "__module__" || name == "__dict__" || name == "__weakref__"));
  }
  const bool container = object.if_text() != nullptr || object.if_sequence() != nullptr || object.if_dict() != nullptr;
  return container && one_of(name, kSequenceDunders) && !(object.if_dict() != nullptr && name == "__add__");
}

std::optional<Value> builtin_attribute(const Value& object, std::string_view name) {
  if (has_dunder(object, name)) return unsafe(object, name);
  if (object.if_text() != nullptr) {
    if (is_text_method(name)) return method(object, name);
  } else if (object.if_dict() != nullptr) {
    if (one_of(name, kDictMethods)) return method(object, name);
    if (one_of(name, kDictChanging)) return unsafe(object, name);
  } else if (object.if_list() != nullptr) {
    if (one_of(name, kListMethods)) return method(object, name);
    if (one_of(name, kListChanging)) return unsafe(object, name);
  } else if (const Tuple* tuple = object.if_tuple()) {
    if (tuple->group && (name == "grouper" || name == "list")) return tuple->items[name == "list" ? 1 : 0];
    if (name == "index" || name == "count") return method(object, name);
  } else if (const double* d = object.if_float()) {
    if (name == "real") return object;
    if (name == "imag") return Value(0.0 * (std::isfinite(*d) ? 1.0 : 0.0));
    if (one_of(name, kFloatMethods)) return method(object, name);
  } else if (const auto i = object.if_int()) {
    if (name == "real" || name == "numerator") return Value(*i);
    if (name == "imag") return Value(0);
    if (name == "denominator") return Value(1);
    if (one_of(name, kIntMethods)) return method(object, name);
  }
  return std::nullopt;
}

std::optional<Int> parse_int(std::string_view text, int base) {
  const std::string digits = ascii_digits(text);
  std::string_view rest = digits;
  bool negative = false;
  if (rest.starts_with('+') || rest.starts_with('-')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  const auto prefixed = [&](char letter) { return rest.size() > 1 && rest[0] == '0' && (rest[1] | 0x20) == letter; };
  bool prefix = false;
  for (const auto& [letter, of] : {std::pair{'x', 16}, std::pair{'o', 8}, std::pair{'b', 2}}) {
    if (prefixed(letter) && (base == of || base == 0)) {
      base = of;
      rest.remove_prefix(2);
      prefix = true;
      break;
    }
  }
  if (base == 0) {
    if (rest.size() > 1 && rest[0] == '0' && rest.find_first_not_of("0_") != std::string_view::npos) return std::nullopt;
    base = 10;
  }
  if (base < 2 || base > 36) value_error("int() base must be >= 2 and <= 36, or 0");
  if (prefix && rest.starts_with('_')) rest.remove_prefix(1);
  Int value = 0;
  bool digit_before = false;
  for (const char c : rest) {
    if (c == '_') {
      if (!digit_before) return std::nullopt;
      digit_before = false;
      continue;
    }
    const int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10 : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, static_cast<Int>(base), &value) || __builtin_add_overflow(value, static_cast<Int>(digit), &value)) {
      throw JinjaError("OverflowError", "an integer of more than 127 bits");
    }
    digit_before = true;
  }
  if (!digit_before) return std::nullopt;
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  std::string digits = ascii_digits(text);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] != '_') continue;
    const auto is_digit_at = [&](std::size_t at) { return at < digits.size() && digits[at] >= '0' && digits[at] <= '9'; };
    if (i == 0 || !is_digit_at(i - 1) || !is_digit_at(i + 1)) return std::nullopt;
  }
  std::erase(digits, '_');
  std::string lower = digits;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view body = std::string_view(lower).substr(lower.starts_with('+') || lower.starts_with('-') ? 1 : 0);
  const bool word = body == "inf" || body == "infinity" || body == "nan";
  if (digits.empty() || (!word && lower.find_first_not_of("0123456789+-.e") != std::string::npos)) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (end != digits.c_str() + digits.size() || end == digits.c_str()) return std::nullopt;
  return value;
}

}  // namespace bigmodel::tokenizer::jinja
