// SPDX-License-Identifier: Apache-2.0
// Filters of lists, mappings and numbers, and all tests. The lazy ones are generators, as in Jinja.
#include "bigmodel/tokenizer/jinja_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_methods.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

[[noreturn]] void filter_argument_error(const std::string& message) { throw JinjaError("FilterArgumentError", message); }

Value ignore_case(const Value& value) {
  const Text* text = value.if_text();
  return text == nullptr ? value : Value(encode(lower(decode(text->bytes))));
}

/// An attribute path: names and numbers between dots.
class AttributePath {
 public:
  explicit AttributePath(const Value* attribute) {
    if (attribute == nullptr || attribute->is_none()) return;
    const Text* text = attribute->if_text();
    if (text == nullptr) {
      parts_.push_back(*attribute);
      return;
    }
    std::size_t at = 0;
    while (true) {
      const std::size_t dot = text->bytes.find('.', at);
      const std::string part = text->bytes.substr(at, dot == std::string::npos ? dot : dot - at);
      const bool number = !part.empty() && part.size() < 18 && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
      parts_.push_back(number ? Value(static_cast<std::int64_t>(std::strtoll(part.c_str(), nullptr, 10))) : Value(part));
      if (dot == std::string::npos) return;
      at = dot + 1;
    }
  }

  Value of(Machine& machine, Value item, const Value* otherwise = nullptr) const {
    for (const Value& part : parts_) {
      machine.step();
      item = get_item(machine, item, part);
      if (otherwise != nullptr && !otherwise->is_none() && item.is_undefined()) item = *otherwise;
    }
    return item;
  }

 private:
  std::vector<Value> parts_;
};

/// The iterator of a generator's source, made at the first step.
class Source {
 public:
  explicit Source(Value value) : value_(std::move(value)) {}
  std::optional<Value> next(Machine& machine) {
    if (it_ == nullptr) it_ = iterate(value_);
    return it_->next(machine);
  }
  const Value& value() const { return value_; }

 private:
  Value value_;
  std::unique_ptr<Iterator> it_;
};

Value lazy(const Value& source, std::function<std::optional<Value>(Machine&, Source&)> step) {
  auto state = std::make_shared<Source>(source);
  return make_generator([state, step = std::move(step)](Machine& machine) { return step(machine, *state); }, source.depth());
}

Value filter_map(Arguments arguments) {
  if (arguments.positional.empty()) type_error("map() missing its value");
  const Value source = arguments.positional[0];
  arguments.positional.erase(arguments.positional.begin());
  const auto named = std::ranges::find_if(arguments.keywords, [](const auto& row) { return row.first == "attribute"; });
  return lazy(source, [arguments, by_attribute = arguments.positional.empty() && named != arguments.keywords.end()](
                          Machine& machine, Source& items) -> std::optional<Value> {
    if (!items.value().truthy()) return std::nullopt;
    if (by_attribute) {
      const Value* attribute = nullptr;
      const Value* otherwise = nullptr;
      for (const auto& [name, value] : arguments.keywords) {
        if (name == "attribute") {
          attribute = &value;
        } else if (name == "default") {
          otherwise = &value;
        } else {
          filter_argument_error("Unexpected keyword argument " + repr_text(name));
        }
      }
      std::optional<Value> item = items.next(machine);
      if (!item) return std::nullopt;
      return AttributePath(attribute).of(machine, std::move(*item), otherwise);
    }
    if (arguments.positional.empty()) filter_argument_error("map requires a filter argument");
    std::optional<Value> item = items.next(machine);
    if (!item) return std::nullopt;
    const Value& name = arguments.positional[0];
    const Machine::Depth depth(machine);
    Arguments inner;
    inner.positional.push_back(std::move(*item));
    inner.positional.insert(inner.positional.end(), arguments.positional.begin() + 1, arguments.positional.end());
    inner.keywords = arguments.keywords;
    if (name.if_text() == nullptr) {
      std::string message = "No filter named " + repr(machine, name) + ".";
      if (const UndefinedInfo* info = name.if_undefined()) message += " (" + info->message + "; did you forget to quote the callable name?)";
      throw JinjaError("TemplateRuntimeError", message);
    }
    return call_filter(machine, name.if_text()->bytes, std::move(inner));
  });
}

Value filter_select(Arguments arguments, bool wanted, bool by_attribute) {
  if (arguments.positional.empty()) type_error("select() missing its value");
  const Value source = arguments.positional[0];
  arguments.positional.erase(arguments.positional.begin());
  return lazy(source, [arguments, wanted, by_attribute](Machine& machine, Source& items) -> std::optional<Value> {
    if (!items.value().truthy()) return std::nullopt;
    const std::size_t offset = by_attribute ? 1 : 0;
    if (by_attribute && arguments.positional.empty()) filter_argument_error("Missing parameter for attribute name");
    const AttributePath path(by_attribute ? arguments.positional.data() : nullptr);
    const Machine::Depth depth(machine);
    while (std::optional<Value> item = items.next(machine)) {
      const Value value = path.of(machine, *item);
      bool passes = false;
      if (arguments.positional.size() <= offset) {
        passes = value.truthy();
      } else {
        const Value& name = arguments.positional[offset];
        if (name.if_text() == nullptr) {
          std::string message = "No test named " + repr(machine, name) + ".";
          if (const UndefinedInfo* info = name.if_undefined()) message += " (" + info->message + "; did you forget to quote the callable name?)";
          throw JinjaError("TemplateRuntimeError", message);
        }
        Arguments inner;
        inner.positional.push_back(value);
        inner.positional.insert(inner.positional.end(), arguments.positional.begin() + static_cast<std::ptrdiff_t>(offset) + 1,
                                arguments.positional.end());
        inner.keywords = arguments.keywords;
        passes = call_test(machine, name.if_text()->bytes, std::move(inner));
      }
      if (passes == wanted) return item;
    }
    return std::nullopt;
  });
}

std::vector<Value> sorted(Machine& machine, std::vector<Value> items, const std::function<Value(const Value&)>& key, bool reverse) {
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(items.size());
  for (Value& item : items) {
    Value k = key(item);
    keyed.emplace_back(std::move(k), std::move(item));
  }
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return reverse ? less(machine, b.first, a.first) : less(machine, a.first, b.first);
  });
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = std::move(keyed[i].second);
  return items;
}

Value filter_sort(Machine& machine, Arguments arguments) {
  const Bound bound("do_sort", {"value", "reverse", "case_sensitive", "attribute"}, 1, std::move(arguments));
  std::vector<AttributePath> paths;
  if (const Text* text = bound.has(3) ? bound[3].if_text() : nullptr) {
    std::size_t at = 0;
    while (true) {
      const std::size_t comma = text->bytes.find(',', at);
      const Value part(text->bytes.substr(at, comma == std::string::npos ? comma : comma - at));
      paths.emplace_back(&part);
      if (comma == std::string::npos) break;
      at = comma + 1;
    }
  } else {
    paths.emplace_back(bound.given(3));
  }
  const bool keep_case = bound.flag(2);
  const auto key = [&](const Value& item) {
    std::vector<Value> out;
    for (const AttributePath& path : paths) {
      const Value value = path.of(machine, item);
      out.push_back(keep_case ? value : ignore_case(value));
    }
    return Value::list(std::move(out));
  };
  return Value::list(sorted(machine, collect(machine, bound[0]), key, bound.integer(1, 0) != 0));
}

const Dict& mapping_of(const Value& value) {
  if (const UndefinedInfo* info = value.if_undefined()) fail_undefined(*info);
  const Dict* dict = value.if_dict();
  if (dict == nullptr) throw JinjaError("AttributeError", "'" + value.type_name() + "' object has no attribute 'items'");
  return *dict;
}

Value filter_dictsort(Machine& machine, Arguments arguments) {
  const Bound bound("do_dictsort", {"value", "case_sensitive", "by", "reverse"}, 1, std::move(arguments));
  const std::string by = bound.has(2) && bound[2].if_text() != nullptr ? bound.text(2) : "key";
  if (by != "key" && by != "value") filter_argument_error("You can only sort by either \"key\" or \"value\"");
  const std::size_t at = by == "key" ? 0 : 1;
  std::vector<Value> items;
  for (const auto& [key, value] : mapping_of(bound[0]).entries()) items.push_back(Value::tuple({key, value}));
  const bool keep_case = bound.flag(1);
  const auto key = [&](const Value& item) {
    const Value& value = item.if_tuple()->items[at];
    return keep_case ? value : ignore_case(value);
  };
  return Value::list(sorted(machine, std::move(items), key, bound.integer(3, 0) != 0));
}

Value filter_unique(Arguments arguments) {
  const Bound bound("do_unique", {"value", "case_sensitive", "attribute"}, 1, std::move(arguments));
  struct Seen {
    std::unordered_multimap<std::size_t, Value> keys;
  };
  const Value attribute = bound.or_else(2, Value());
  return lazy(bound[0], [seen = std::make_shared<Seen>(), path = AttributePath(&attribute), keep_case = bound.flag(1)](
                            Machine& machine, Source& items) -> std::optional<Value> {
    while (std::optional<Value> item = items.next(machine)) {
      Value key = path.of(machine, *item);
      if (!keep_case) key = ignore_case(key);
      const std::size_t hash = hash_of(key);
      const auto [first, last] = seen->keys.equal_range(hash);
      if (std::any_of(first, last, [&](const auto& row) { return equal(row.second, key); })) continue;
      seen->keys.emplace(hash, std::move(key));
      return item;
    }
    return std::nullopt;
  });
}

Value filter_extreme(Machine& machine, Arguments arguments, bool largest) {
  const Bound bound(largest ? "do_max" : "do_min", {"value", "case_sensitive", "attribute"}, 1, std::move(arguments));
  const std::unique_ptr<Iterator> it = iterate(bound[0]);
  std::optional<Value> best = it->next(machine);
  if (!best) return Value::undefined("No aggregated item, sequence was empty.");
  const AttributePath path(bound.given(2));
  const auto key = [&](const Value& item) {
    const Value value = path.of(machine, item);
    return bound.flag(1) ? value : ignore_case(value);
  };
  Value best_key = key(*best);
  while (std::optional<Value> item = it->next(machine)) {
    Value other = key(*item);
    if (largest ? compare(machine, CompareOp::gt, other, best_key) : less(machine, other, best_key)) {
      best_key = std::move(other);
      best = std::move(item);
    }
  }
  return *best;
}

Value filter_groupby(Machine& machine, Arguments arguments) {
  const Bound bound("do_groupby", {"value", "attribute", "default", "case_sensitive"}, 2, std::move(arguments));
  const AttributePath path(bound.given(1));
  const bool keep_case = bound.flag(3);
  const auto key = [&](const Value& item) {
    const Value value = path.of(machine, item, bound.given(2));
    return keep_case ? value : ignore_case(value);
  };
  std::vector<Value> out;
  std::vector<Value> group;
  Value current;
  const auto flush = [&] {
    if (group.empty()) return;
    const Value shown = keep_case ? current : path.of(machine, group[0], bound.given(2));
    out.push_back(Value::tuple({shown, Value::list(std::move(group))}, true));
    group.clear();
  };
  for (Value& item : sorted(machine, collect(machine, bound[0]), key, false)) {
    Value next = key(item);
    if (!group.empty() && !equal(next, current)) flush();
    if (group.empty()) current = std::move(next);
    group.push_back(std::move(item));
  }
  flush();
  return Value::list(std::move(out));
}

Value filter_sum(Machine& machine, Arguments arguments) {
  const Bound bound("do_sum", {"iterable", "attribute", "start"}, 1, std::move(arguments));
  Value total = bound.or_else(2, Value(0));
  if (total.if_text() != nullptr) type_error("sum() can't sum strings [use ''.join(seq) instead]");
  const AttributePath path(bound.given(1));
  const std::unique_ptr<Iterator> it = iterate(bound[0]);
  while (std::optional<Value> item = it->next(machine)) {
    total = arithmetic(machine, ExprKind::add, total, path.of(machine, std::move(*item)));
  }
  return total;
}

Value filter_batch(Arguments arguments) {
  const Bound bound("do_batch", {"value", "linecount", "fill_with"}, 2, std::move(arguments));
  const Value fill = bound.or_else(2, Value());
  const std::int64_t count = to_integer(bound[1]);
  return lazy(bound[0], [fill, count, held = std::make_shared<std::optional<Value>>()](Machine& machine, Source& items) -> std::optional<Value> {
    std::vector<Value> row;
    if (held->has_value()) row.push_back(std::move(**held));
    held->reset();
    while (std::optional<Value> item = items.next(machine)) {
      // As many as the line holds: one more is the next line's first. A count below one never fills a line but the first, empty one.
      if (static_cast<std::int64_t>(row.size()) == count) {
        *held = std::move(item);
        return Value::list(std::move(row));
      }
      row.push_back(std::move(*item));
    }
    if (row.empty()) return std::nullopt;
    if (!fill.is_none()) {
      machine.charge(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0)) * sizeof(Value));
      while (static_cast<std::int64_t>(row.size()) < count) row.push_back(fill);
    }
    return Value::list(std::move(row));
  });
}

Value filter_slice(Arguments arguments) {
  const Bound bound("do_slice", {"value", "slices", "fill_with"}, 2, std::move(arguments));
  struct State {
    bool ready = false;
    std::vector<Value> items;
    std::int64_t number = 0;
    std::int64_t offset = 0;
  };
  const Value fill = bound.or_else(2, Value());
  const std::int64_t slices = to_integer(bound[1]);
  return lazy(bound[0], [fill, slices, state = std::make_shared<State>()](Machine& machine, Source& source) -> std::optional<Value> {
    if (!state->ready) {
      state->items = collect(machine, source.value());
      state->ready = true;
      if (slices == 0) throw JinjaError("ZeroDivisionError", "integer division or modulo by zero");
    }
    if (state->number >= slices) return std::nullopt;
    const auto length = static_cast<std::int64_t>(state->items.size());
    const std::int64_t each = length / slices;
    const std::int64_t extra = length % slices;
    const std::int64_t begin = state->offset + state->number * each;
    if (state->number < extra) ++state->offset;
    const std::int64_t end = state->offset + (state->number + 1) * each;
    std::vector<Value> out(state->items.begin() + begin, state->items.begin() + end);
    if (!fill.is_none() && state->number >= extra) out.push_back(fill);
    ++state->number;
    return Value::list(std::move(out));
  });
}

Value filter_last(Machine& machine, const Value& value) {
  const Value none = Value::undefined("No last item, sequence was empty.");
  if (value.is_undefined()) return none;
  if (const Sequence* sequence = value.if_sequence()) return sequence->items.empty() ? none : sequence->items.back();
  if (const Dict* dict = value.if_dict()) return dict->size() == 0 ? none : dict->entries().back().first;
  if (const Text* text = value.if_text()) return text->length == 0 ? none : get_item(machine, value, Value(-1));
  Object* object = value.if_object();
  if (object == nullptr || !object->length(machine)) type_error("'" + value.type_name() + "' object is not reversible");
  std::vector<Value> items = collect(machine, value);
  return items.empty() ? none : items.back();
}

Value filter_reverse(Machine& machine, const Value& value) {
  if (const Text* text = value.if_text()) {
    std::u32string points = decode(text->bytes);
    std::ranges::reverse(points);
    return Value(encode(points), text->markup);
  }
  std::vector<Value> items;
  try {
    items = collect(machine, value);
  } catch (const JinjaError& error) {
    if (error.class_name == "TypeError") filter_argument_error("argument must be iterable");
    throw;
  }
  if (value.if_object_of<Object>() != nullptr && !value.if_object()->length(machine)) {
    std::ranges::reverse(items);
    return Value::list(std::move(items));
  }
  std::uint32_t depth = value.depth();
  auto rest = std::make_shared<std::vector<Value>>(std::move(items));
  return make_generator(
      [rest](Machine&) -> std::optional<Value> {
        if (rest->empty()) return std::nullopt;
        Value value_out = std::move(rest->back());
        rest->pop_back();
        return value_out;
      },
      depth);
}

Value filter_int(Machine&, Arguments arguments) {
  const Bound bound("do_int", {"value", "default", "base"}, 1, std::move(arguments));
  const Value& value = bound[0];
  const Value otherwise = bound.or_else(1, Value(0));
  if (const UndefinedInfo* info = value.if_undefined()) fail_undefined(*info);
  if (const auto i = value.if_int()) return Value(*i);
  std::optional<double> number;
  if (const Text* text = value.if_text()) {
    try {
      if (const auto i = parse_int(text->bytes, static_cast<int>(std::clamp<std::int64_t>(bound.integer(2, 10), -1, 99)))) return Value(*i);
    } catch (const JinjaError& error) {
      if (error.class_name != "ValueError") throw;
    }
    number = parse_float(text->bytes);
  } else if (const double* d = value.if_float()) {
    if (std::isinf(*d)) throw JinjaError("OverflowError", "cannot convert float infinity to integer");
    number = *d;
  }
  if (!number || !std::isfinite(*number)) return otherwise;
  if (std::abs(*number) >= 0x1p126) throw JinjaError("OverflowError", "an integer of more than 127 bits");
  return Value(static_cast<Int>(*number));
}

Value filter_float(Arguments arguments) {
  const Bound bound("do_float", {"value", "default"}, 1, std::move(arguments));
  const Value& value = bound[0];
  if (const UndefinedInfo* info = value.if_undefined()) fail_undefined(*info);
  if (const auto i = value.if_int()) return Value(static_cast<double>(*i));
  if (value.if_float() != nullptr) return value;
  const Text* text = value.if_text();
  const std::optional<double> number = text == nullptr ? std::nullopt : parse_float(text->bytes);
  return number ? Value(*number) : bound.or_else(1, Value(0.0));
}

double to_double(const Value& value) {
  if (const UndefinedInfo* info = value.if_undefined()) fail_undefined(*info);
  if (const double* d = value.if_float()) return *d;
  if (const auto i = value.if_int()) return static_cast<double>(*i);
  type_error("must be real number, not " + value.type_name());
}

Value filter_round(Machine& machine, Arguments arguments) {
  const Bound bound("do_round", {"value", "precision", "method"}, 1, std::move(arguments));
  const std::string method = bound.given(2) != nullptr && bound[2].if_text() != nullptr ? bound.text(2) : bound.given(2) != nullptr ? "?" : "common";
  if (method != "common" && method != "ceil" && method != "floor") filter_argument_error("method must be common, ceil or floor");
  const Value& value = bound[0];
  if (method != "common") {
    const Value scale = arithmetic(machine, ExprKind::pow, Value(10), bound.or_else(1, Value(0)));
    const double scaled = to_double(arithmetic(machine, ExprKind::mul, value, scale));
    if (!std::isfinite(scaled)) throw JinjaError("OverflowError", "cannot convert float infinity to integer");
    return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / to_double(scale));
  }
  const std::int64_t precision = bound.integer(1, 0);
  if (const auto i = value.if_int()) {
    if (precision >= 0) return Value(*i);
    if (precision < -37) return Value(0);
    Int unit = 1;
    for (std::int64_t k = 0; k < -precision; ++k) unit *= 10;
    Int quotient = *i / unit;
    const Int rest = (*i % unit) < 0 ? -(*i % unit) : *i % unit;
    if (rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0)) quotient += *i < 0 ? -1 : 1;
    return Value(quotient * unit);
  }
  const double* d = value.if_float();
  if (d == nullptr) type_error("type " + value.type_name() + " doesn't define __round__ method");
  if (!std::isfinite(*d) || precision > 300) return value;
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return Value(std::isfinite(unit) ? std::nearbyint(*d / unit) * unit : 0.0);
  }
  return Value(std::strtod(fmt::format("{:.{}f}", *d, precision).c_str(), nullptr));
}

Value filter_filesizeformat(Arguments arguments) {
  const Bound bound("do_filesizeformat", {"value", "binary"}, 1, std::move(arguments));
  double bytes = 0;
  if (const Text* text = bound[0].if_text()) {
    const auto number = parse_float(text->bytes);
    if (!number) value_error("could not convert string to float: " + repr_text(text->bytes));
    bytes = *number;
  } else {
    if (!bound[0].is_undefined() && bound[0].if_float() == nullptr && !bound[0].if_int()) {
      type_error("float() argument must be a string or a real number, not '" + bound[0].type_name() + "'");
    }
    bytes = to_double(bound[0]);
  }
  const bool binary = bound.flag(1);
  const double base = binary ? 1024 : 1000;
  constexpr std::array<std::string_view, 8> kUnits{"k", "M", "G", "T", "P", "E", "Z", "Y"};
  if (bytes == 1) return Value("1 Byte");
  if (bytes < base) return Value(fmt::format("{} Bytes", static_cast<std::int64_t>(std::max(bytes, -1e18))));
  double unit = base * base;
  for (std::size_t i = 0; i < kUnits.size(); ++i, unit *= base) {
    if (bytes < unit || i + 1 == kUnits.size()) {
      const std::string name = binary ? (i == 0 ? "K" : std::string(kUnits[i])) + "iB" : std::string(kUnits[i]) + "B";
      return Value(fmt::format("{:.1f} {}", base * bytes / unit, name));
    }
  }
  return Value();
}

Value filter_attr(Machine& machine, Arguments arguments) {
  const Bound bound("do_attr", {"obj", "name"}, 2, std::move(arguments));
  const Value& object = bound[0];
  const std::string& name = bound.text(1);
  if (const UndefinedInfo* info = object.if_undefined()) fail_undefined(*info);
  if (!find_attribute(object, name)) {
    return Value::undefined(fmt::format("{} has no attribute {}", repr_text(object.described()), repr_text(name)));
  }
  return get_attribute(machine, object, name);
}

Value filter_items(const Value& value) {
  return lazy(value, [at = std::make_shared<std::size_t>(0)](Machine&, Source& source) -> std::optional<Value> {
    const Value& mapping = source.value();
    if (mapping.is_undefined()) return std::nullopt;
    const Dict* dict = mapping.if_dict();
    if (dict == nullptr) type_error("Can only get item pairs from a mapping.");
    if (*at >= dict->size()) return std::nullopt;
    const auto& [key, item] = dict->entries()[(*at)++];
    return Value::tuple({key, item});
  });
}

Value filter_random(Machine& machine, const Value& value) {
  const std::int64_t size = length_of(machine, value);
  if (size == 0) return Value::undefined("No random item, sequence was empty.");
  const auto at = static_cast<std::int64_t>(machine.next_random() % static_cast<std::uint64_t>(size));
  if (const Dict* dict = value.if_dict()) {
    const Value* item = dict->find(Value(at));
    if (item == nullptr) throw JinjaError("KeyError", std::to_string(at));
    return *item;
  }
  return get_item(machine, value, Value(at));
}

constexpr std::array<std::string_view, 32> kFilters{
    "abs",  "attr",   "batch", "count",  "d",      "default", "dictsort",   "filesizeformat", "first",  "float",  "groupby",
    "int",  "items",  "last",  "length", "list",   "map",     "max",        "min",            "random", "reject", "rejectattr",
    "reverse", "round", "select", "selectattr", "slice", "sort", "sum",     "tojson",         "unique", "pprint"};

Value only(std::string_view function, Arguments arguments) { return Bound(function, {"value"}, 1, std::move(arguments))[0]; }

Value filter_first(Machine& machine, const Value& value) {
  std::optional<Value> first = iterate(value)->next(machine);
  return first ? std::move(*first) : Value::undefined("No first item, sequence was empty.");
}

Value filter_default(Arguments arguments) {
  const Bound bound("do_default", {"value", "default_value", "boolean"}, 1, std::move(arguments));
  const bool absent = bound[0].is_undefined() || (bound.flag(2) && !bound[0].truthy());
  return absent ? bound.or_else(1, Value("")) : bound[0];
}

Value filter_abs(const Value& value) {
  if (const double* d = value.if_float()) return Value(std::abs(*d));
  if (const auto i = value.if_int()) return *i < 0 ? negate(Value(*i), true) : Value(*i);
  type_error("bad operand type for abs(): '" + value.type_name() + "'");
}

// --- tests

constexpr std::array<std::string_view, 39> kTests{
    "odd",     "even",   "divisibleby", "defined", "undefined", "filter",   "test",     "none",    "boolean", "false",
    "true",    "integer", "float",      "lower",   "upper",     "string",   "mapping",  "number",  "sequence", "iterable",
    "callable", "sameas", "escaped",    "in",      "==",        "eq",       "equalto",  "!=",      "ne",      ">",
    "gt",      "greaterthan", "ge",     ">=",      "<",         "lt",       "lessthan", "<=",      "le"};

bool is_iterable(const Value& value) {
  if (value.if_text() != nullptr || value.if_sequence() != nullptr || value.if_dict() != nullptr || value.is_undefined()) return true;
  Object* object = value.if_object();
  return object != nullptr && object->iterate() != nullptr;
}

bool is_sequence(Machine& machine, const Value& value) {
  if (value.if_text() != nullptr || value.if_sequence() != nullptr || value.if_dict() != nullptr) return true;
  Object* object = value.if_object();
  return object != nullptr && object->subscriptable() && object->length(machine).has_value();
}

}  // namespace

bool is_filter(std::string_view name) { return std::ranges::find(kFilters, name) != kFilters.end() || is_text_filter(name); }
bool is_test(std::string_view name) { return std::ranges::find(kTests, name) != kTests.end(); }

std::string to_json(Machine& machine, Arguments arguments);

Value call_filter(Machine& machine, std::string_view name, Arguments arguments) {
  machine.step();
  if (const Text* text = arguments.positional.empty() ? nullptr : arguments.positional[0].if_text()) machine.charge(text->bytes.size());
  if (name == "map") return filter_map(std::move(arguments));
  if (name == "select" || name == "reject") return filter_select(std::move(arguments), name == "select", false);
  if (name == "selectattr" || name == "rejectattr") return filter_select(std::move(arguments), name == "selectattr", true);
  if (name == "d" || name == "default") return filter_default(std::move(arguments));
  if (name == "tojson") return Value(to_json(machine, std::move(arguments)));
  if (name == "sort") return filter_sort(machine, std::move(arguments));
  if (name == "dictsort") return filter_dictsort(machine, std::move(arguments));
  if (name == "unique") return filter_unique(std::move(arguments));
  if (name == "min" || name == "max") return filter_extreme(machine, std::move(arguments), name == "max");
  if (name == "groupby") return filter_groupby(machine, std::move(arguments));
  if (name == "sum") return filter_sum(machine, std::move(arguments));
  if (name == "batch") return filter_batch(std::move(arguments));
  if (name == "slice") return filter_slice(std::move(arguments));
  if (name == "int") return filter_int(machine, std::move(arguments));
  if (name == "float") return filter_float(std::move(arguments));
  if (name == "round") return filter_round(machine, std::move(arguments));
  if (name == "filesizeformat") return filter_filesizeformat(std::move(arguments));
  if (name == "attr") return filter_attr(machine, std::move(arguments));
  if (Value result; call_text_filter(machine, name, arguments, result)) return result;
  if (!is_filter(name)) throw JinjaError("TemplateRuntimeError", "No filter named " + repr_text(name) + ".");
  const std::string function = name == "length" || name == "count" ? "len" : "do_" + std::string(name);
  const Value value = only(function, std::move(arguments));
  if (name == "abs") return filter_abs(value);
  if (name == "first") return filter_first(machine, value);
  if (name == "last") return filter_last(machine, value);
  if (name == "length" || name == "count") return Value(length_of(machine, value));
  if (name == "list") return Value::list(collect(machine, value));
  if (name == "items") return filter_items(value);
  if (name == "random") return filter_random(machine, value);
  if (name == "reverse") return filter_reverse(machine, value);
  return Value(pretty_repr(machine, value));
}

bool call_test(Machine& machine, std::string_view name, Arguments arguments) {
  machine.step();
  if (!is_test(name)) throw JinjaError("TemplateRuntimeError", "No test named " + repr_text(name) + ".");
  const auto binary = [&] { return Bound("test_" + std::string(name), {"value", "other"}, 2, std::move(arguments)); };
  const auto compared = [&](CompareOp op) {
    const Bound bound = binary();
    return compare(machine, op, bound[0], bound[1]);
  };
  if (name == "==" || name == "eq" || name == "equalto") return compared(CompareOp::eq);
  if (name == "!=" || name == "ne") return compared(CompareOp::ne);
  if (name == ">" || name == "gt" || name == "greaterthan") return compared(CompareOp::gt);
  if (name == ">=" || name == "ge") return compared(CompareOp::gteq);
  if (name == "<" || name == "lt" || name == "lessthan") return compared(CompareOp::lt);
  if (name == "<=" || name == "le") return compared(CompareOp::lteq);
  if (name == "in") return compared(CompareOp::in);
  if (name == "sameas") {
    const Bound bound = binary();
    return bound[0].same_as(bound[1]);
  }
  if (name == "divisibleby") {
    const Bound bound = binary();
    return equal(arithmetic(machine, ExprKind::mod, bound[0], bound[1]), Value(0));
  }
  const Value value = only("test_" + std::string(name), std::move(arguments));
  if (name == "odd") return equal(arithmetic(machine, ExprKind::mod, value, Value(2)), Value(1));
  if (name == "even") return equal(arithmetic(machine, ExprKind::mod, value, Value(2)), Value(0));
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "boolean") return value.if_bool() != nullptr;
  if (name == "true") return value.if_bool() != nullptr && *value.if_bool();
  if (name == "false") return value.if_bool() != nullptr && !*value.if_bool();
  if (name == "integer") return value.if_plain_int() != nullptr;
  if (name == "float") return value.if_float() != nullptr;
  if (name == "number") return value.if_int().has_value() || value.if_float() != nullptr;
  if (name == "string") return value.if_text() != nullptr;
  if (name == "mapping") return value.if_dict() != nullptr;
  if (name == "sequence") return is_sequence(machine, value);
  if (name == "iterable") return is_iterable(value);
  if (name == "callable") return is_callable(value);
  if (name == "escaped") return value.if_text() != nullptr && value.if_text()->markup;
  if (name == "lower" || name == "upper") {
    const Value text(str(machine, value));
    return call_text_method(machine, text, name == "lower" ? "islower" : "isupper", {}).truthy();
  }
  const Text* text = value.if_text();
  if (value.if_list() != nullptr || value.if_dict() != nullptr) type_error("unhashable type: '" + value.type_name() + "'");
  return text != nullptr && (name == "filter" ? is_filter(text->bytes) : is_test(text->bytes));
}

}  // namespace bigmodel::tokenizer::jinja
