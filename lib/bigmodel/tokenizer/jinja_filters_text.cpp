// SPDX-License-Identifier: Apache-2.0
// Filters of text.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_filters.h"
#include "bigmodel/tokenizer/jinja_format.h"
#include "bigmodel/tokenizer/jinja_methods.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

/// str(value), except that text keeps what it is.
Value soft_text(Machine& machine, const Value& value) { return value.if_text() != nullptr ? value : Value(str(machine, value)); }

Value text_method(Machine& machine, const Value& value, std::string_view method, std::vector<Value> positional = {}) {
  Arguments arguments;
  arguments.positional = std::move(positional);
  return call_text_method(machine, soft_text(machine, value), method, std::move(arguments));
}

Value filter_title(Machine& machine, const Value& value) {
  const Value text = soft_text(machine, value);
  const std::u32string points = decode(text.if_text()->bytes);
  const auto splits = [](char32_t c) { return is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos; };
  std::u32string out;
  std::size_t at = 0;
  while (at < points.size()) {
    std::size_t end = at;
    const bool gap = splits(points[at]);
    while (end < points.size() && splits(points[end]) == gap) ++end;
    out += upper(points.substr(at, 1));
    out += lower(points.substr(at + 1, end - at - 1));
    at = end;
  }
  return Value(encode(out));
}

Value filter_indent(Machine& machine, Arguments arguments) {
  const Bound bound("do_indent", {"s", "width", "first", "blank"}, 1, std::move(arguments));
  const Value whole = arithmetic(machine, ExprKind::add, bound[0], Value("\n"));
  const Value width = bound.or_else(1, Value(4));
  const Value indention = width.if_text() != nullptr ? width : arithmetic(machine, ExprKind::mul, Value(" "), width);
  const std::string& space = indention.if_text()->bytes;
  const Value lines = text_method(machine, whole, "splitlines");
  std::string out;
  bool first = true;
  for (const Value& line : lines.if_list()->items) {
    const std::string& text = line.if_text()->bytes;
    if (!first) out += "\n" + (text.empty() && !bound.flag(3) ? "" : space);
    first = false;
    out += text;
    machine.within(out.size());
  }
  machine.charge(out.size());
  return Value(bound.flag(2) ? space + out : out, whole.if_text()->markup);
}

Value filter_truncate(Machine& machine, Arguments arguments) {
  const Bound bound("do_truncate", {"s", "length", "killwords", "end", "leeway"}, 1, std::move(arguments));
  const Value& s = bound[0];
  const std::int64_t length = bound.integer(1, 255);
  const Value end = bound.or_else(3, Value("..."));
  const std::int64_t leeway = bound.has(4) ? bound.integer(4, 0) : 5;
  const std::int64_t end_size = length_of(machine, end);
  if (length < end_size) throw JinjaError("AssertionError", fmt::format("expected length >= {}, got {}", end_size, length));
  if (leeway < 0) throw JinjaError("AssertionError", fmt::format("expected leeway >= 0, got {}", leeway));
  if (length_of(machine, s) <= length + leeway) return s;
  Value cut = slice(machine, s, Value(), Value(length - end_size), Value());
  if (!bound.flag(2)) cut = text_method(machine, cut, "rsplit", {Value(" "), Value(1)}).if_list()->items[0];
  return arithmetic(machine, ExprKind::add, cut, end);
}

Value filter_wordwrap(Machine& machine, Arguments arguments) {
  const Bound bound("do_wordwrap", {"s", "width", "break_long_words", "wrapstring", "break_on_hyphens"}, 1, std::move(arguments));
  if (const UndefinedInfo* info = bound[0].if_undefined()) fail_undefined(*info);
  if (bound[0].if_text() == nullptr) throw JinjaError("AttributeError", "'" + bound[0].type_name() + "' object has no attribute 'splitlines'");
  const std::string separator = bound.has(3) ? bound.text(3) : "\n";
  return Value(word_wrap(machine, bound.text(0), bound.integer(1, 79), bound.flag(2, true), separator, bound.flag(4, true)));
}

std::string quoted(std::string_view text, bool query) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("_.-~").find(c) != std::string_view::npos;
    if (plain || (c == '/' && !query)) {
      out += c;
    } else if (c == ' ' && query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Value filter_urlencode(Machine& machine, const Value& value) {
  if (value.if_text() != nullptr) return Value(quoted(value.if_text()->bytes, false));
  const bool iterable = call_test(machine, "iterable", {{value}, {}});
  if (!iterable) return Value(quoted(str(machine, value), false));
  std::vector<std::pair<Value, Value>> pairs;
  if (const Dict* dict = value.if_dict()) {
    pairs = dict->entries();
  } else {
    for (const Value& item : collect(machine, value)) {
      std::vector<Value> two = collect(machine, item);
      if (two.size() != 2) value_error(fmt::format("not enough values to unpack (expected 2, got {})", two.size()));
      pairs.emplace_back(two[0], two[1]);
    }
  }
  std::string out;
  for (const auto& [key, item] : pairs) {
    if (!out.empty()) out += '&';
    out += quoted(str(machine, key), true) + "=" + quoted(str(machine, item), true);
    machine.within(out.size());
  }
  return Value(std::move(out));
}

Value filter_xmlattr(Machine& machine, Arguments arguments) {
  const Bound bound("do_xmlattr", {"d", "autospace"}, 1, std::move(arguments));
  if (const UndefinedInfo* info = bound[0].if_undefined()) fail_undefined(*info);
  const Dict* dict = bound[0].if_dict();
  if (dict == nullptr) throw JinjaError("AttributeError", "'" + bound[0].type_name() + "' object has no attribute 'items'");
  std::string out;
  for (const auto& [key, value] : dict->entries()) {
    if (value.is_none() || value.is_undefined()) continue;
    const Text* name = key.if_text();
    if (name == nullptr) type_error("expected string or bytes-like object, got '" + key.type_name() + "'");
    if (name->bytes.find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      value_error("Invalid character in attribute name: " + repr_text(name->bytes));
    }
    out += (out.empty() ? "" : " ") + escape(machine, key) + "=\"" + escape(machine, value) + "\"";
    machine.within(out.size());
  }
  if (bound.flag(1, true) && !out.empty()) out = " " + out;
  return Value(std::move(out), machine.autoescape);
}

std::string unescaped(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, char32_t>, 7> kNamed{
      {{"amp", U'&'}, {"lt", U'<'}, {"gt", U'>'}, {"quot", U'"'}, {"apos", U'\''}, {"nbsp", 0xA0}, {"copy", 0xA9}}};
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t length = text[i] == '&' ? std::string_view(text).substr(i, 13).find(';') : std::string::npos;
    const std::size_t end = i + length;
    if (length == std::string::npos || length == 1) {
      out += text[i];
      continue;
    }
    const std::string name = text.substr(i + 1, end - i - 1);
    char32_t c = 0;
    if (name[0] == '#' && name.size() > 1) {
      const bool hex = (name[1] | 0x20) == 'x';
      for (const char digit : name.substr(hex ? 2 : 1)) {
        const int value = digit >= '0' && digit <= '9' ? digit - '0' : (digit | 0x20) >= 'a' && (digit | 0x20) <= 'f' && hex ? (digit | 0x20) - 'a' + 10 : -1;
        if (value < 0) {
          c = 0;
          break;
        }
        c = std::min<char32_t>(c * (hex ? 16U : 10U) + static_cast<char32_t>(value), 0x110000);
      }
      if (c > 0x10FFFF) c = 0xFFFD;
    } else {
      const auto it = std::ranges::find_if(kNamed, [&](const auto& row) { return row.first == name; });
      if (it != kNamed.end()) c = it->second;
    }
    if (c == 0) {
      out += text[i];
    } else {
      append_utf8(out, c);
      i = end;
    }
  }
  return out;
}

Value filter_striptags(Machine& machine, const Value& value) {
  std::string text = str(machine, value);
  const auto drop = [&](std::string_view open, std::string_view close) {
    std::string out;
    std::size_t at = 0;
    while (true) {
      const std::size_t begin = text.find(open, at);
      const std::size_t end = begin == std::string::npos ? begin : text.find(close, begin);
      if (end == std::string::npos) break;
      out.append(text, at, begin - at);
      at = end + close.size();
    }
    text = out.append(text, at);
  };
  drop("<!--", "-->");
  drop("<", ">");
  const Value words = text_method(machine, Value(text), "split");
  std::string out;
  for (const Value& word : words.if_list()->items) out += (out.empty() ? "" : " ") + word.if_text()->bytes;
  return Value(unescaped(out));
}

Value filter_join(Machine& machine, Arguments arguments) {
  const Bound bound("do_join", {"value", "d", "attribute"}, 1, std::move(arguments));
  const Value separator = bound.or_else(1, Value(""));
  std::vector<Value> parts;
  const std::unique_ptr<Iterator> it = iterate(bound[0]);
  while (std::optional<Value> item = it->next(machine)) {
    if (bound.has(2)) {
      Arguments map;
      map.positional.push_back(Value::list({*item}));
      map.keywords.emplace_back("attribute", bound[2]);
      item = collect(machine, call_filter(machine, "map", std::move(map)))[0];
    }
    parts.push_back(std::move(*item));
  }
  const auto is_markup = [](const Value& value) { return value.if_text() != nullptr && value.if_text()->markup; };
  const bool escaping = machine.autoescape && (is_markup(separator) || std::ranges::any_of(parts, is_markup));
  const auto shown = [&](const Value& value) { return escaping ? escape(machine, value) : str(machine, value); };
  const std::string between = shown(separator);
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) out += between;
    out += shown(parts[i]);
    machine.within(out.size());
  }
  machine.charge(out.size());
  return Value(std::move(out), escaping);
}

Value filter_urlize(Machine& machine, Arguments arguments) {
  const Bound bound("do_urlize", {"value", "trim_url_limit", "nofollow", "target", "rel", "extra_schemes"}, 1, std::move(arguments));
  std::vector<std::string> rel{"noopener"};
  if (bound.has(4)) {
    const Value words = text_method(machine, bound[4], "split");
    for (const Value& word : words.if_list()->items) rel.push_back(word.if_text()->bytes);
  }
  if (bound.flag(2)) rel.emplace_back("nofollow");
  std::ranges::sort(rel);
  rel.erase(std::unique(rel.begin(), rel.end()), rel.end());
  std::string joined;
  for (const std::string& word : rel) joined += (joined.empty() ? "" : " ") + word;
  return Value(urlize(machine, escape(machine, bound[0]), bound.has(1) ? bound.integer(1, 0) : -1, joined, bound.has(3) ? bound.text(3) : ""),
               machine.autoescape);
}

constexpr std::array<std::string_view, 24> kTextFilters{
    "capitalize", "center", "e",     "escape",   "forceescape", "format", "indent",    "join",   "lower",    "replace", "safe",    "string",
    "striptags",  "title",  "trim",  "truncate", "upper",       "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr"};

Value single(std::string_view name, Arguments& arguments) { return Bound("do_" + std::string(name), {"s"}, 1, std::move(arguments))[0]; }

}  // namespace

bool is_text_filter(std::string_view name) { return !name.empty() && std::ranges::find(kTextFilters, name) != kTextFilters.end(); }

bool call_text_filter(Machine& machine, std::string_view name, Arguments& arguments, Value& result) {
  if (!is_text_filter(name)) return false;
  if (name == "indent") {
    result = filter_indent(machine, std::move(arguments));
  } else if (name == "truncate") {
    result = filter_truncate(machine, std::move(arguments));
  } else if (name == "wordwrap") {
    result = filter_wordwrap(machine, std::move(arguments));
  } else if (name == "xmlattr") {
    result = filter_xmlattr(machine, std::move(arguments));
  } else if (name == "join") {
    result = filter_join(machine, std::move(arguments));
  } else if (name == "urlize") {
    result = filter_urlize(machine, std::move(arguments));
  } else if (name == "trim") {
    const Bound bound("do_trim", {"value", "chars"}, 1, std::move(arguments));
    result = text_method(machine, bound[0], "strip", bound.has(1) ? std::vector<Value>{bound[1]} : std::vector<Value>{});
  } else if (name == "center") {
    const Bound bound("do_center", {"value", "width"}, 1, std::move(arguments));
    result = text_method(machine, bound[0], "center", {bound.or_else(1, Value(80))});
  } else if (name == "replace") {
    const Bound bound("do_replace", {"s", "old", "new", "count"}, 3, std::move(arguments));
    const auto plain = [&](const Value& value) { return Value(machine.autoescape ? escape(machine, value) : str(machine, value)); };
    const auto is_markup = [](const Value& value) { return value.if_text() != nullptr && value.if_text()->markup; };
    const bool escaping = machine.autoescape && (is_markup(bound[0]) || is_markup(bound[1]) || is_markup(bound[2]));
    const auto part = [&](std::size_t i) { return escaping ? plain(bound[i]) : Value(str(machine, bound[i])); };
    result = text_method(machine, part(0), "replace", {part(1), part(2), bound.has(3) ? bound[3] : Value(-1)});
    if (escaping) result = Value(result.if_text()->bytes, true);
  } else if (name == "format") {
    if (arguments.positional.empty()) type_error("do_format() missing 1 required positional argument: 'value'");
    const Value text = soft_text(machine, arguments.positional[0]);
    arguments.positional.erase(arguments.positional.begin());
    if (!arguments.positional.empty() && !arguments.keywords.empty()) {
      throw JinjaError("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
    }
    Value values;
    if (!arguments.keywords.empty()) {
      Dict dict;
      for (auto& [key, value] : arguments.keywords) dict.set(Value(key), std::move(value));
      values = Value::dict(std::move(dict));
    } else {
      values = Value::tuple(std::move(arguments.positional));
    }
    result = percent_format(machine, *text.if_text(), values);
  } else {
    const Value value = single(name, arguments);
    if (name == "upper" || name == "lower" || name == "capitalize") {
      result = text_method(machine, value, name);
    } else if (name == "title") {
      result = filter_title(machine, value);
    } else if (name == "string") {
      result = soft_text(machine, value);
    } else if (name == "safe") {
      result = Value(str(machine, value), true);
    } else if (name == "e" || name == "escape") {
      result = Value(escape(machine, value), true);
    } else if (name == "forceescape") {
      result = Value(escape_text(str(machine, value)), true);
    } else if (name == "striptags") {
      result = filter_striptags(machine, value);
    } else if (name == "urlencode") {
      result = filter_urlencode(machine, value);
    } else {
      std::int64_t count = 0;
      bool inside = false;
      for (const char32_t c : decode(str(machine, value))) {
        const bool word = is_word(c);
        if (word && !inside) ++count;
        inside = word;
      }
      result = Value(count);
    }
  }
  return true;
}

}  // namespace bigmodel::tokenizer::jinja
