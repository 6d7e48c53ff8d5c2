// SPDX-License-Identifier: Apache-2.0
// The methods of str.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_format.h"
#include "bigmodel/tokenizer/jinja_methods.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

using View = std::u32string_view;
constexpr std::size_t kNone = View::npos;

constexpr std::array<std::string_view, 47> kMethods{
    "capitalize", "casefold",   "center",       "count",     "encode",      "endswith",  "expandtabs", "find",         "format",
    "format_map", "index",      "isalnum",      "isalpha",   "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
    "isnumeric",  "isprintable", "isspace",     "istitle",   "isupper",     "join",      "ljust",      "lower",        "lstrip",
    "maketrans",  "partition",  "removeprefix", "removesuffix", "replace",  "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",     "rstrip",     "split",        "splitlines", "startswith", "strip",     "swapcase",   "title",        "translate",
    "upper",      "zfill"};

View strip(View text, const std::u32string* characters, bool left, bool right) {
  const auto drop = [&](char32_t c) { return characters == nullptr ? is_space(c) : characters->find(c) != kNone; };
  while (left && !text.empty() && drop(text.front())) text.remove_prefix(1);
  while (right && !text.empty() && drop(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::u32string> split_space(View text, std::int64_t most) {
  std::vector<std::u32string> out;
  std::size_t at = 0;
  while (true) {
    while (at < text.size() && is_space(text[at])) ++at;
    if (at == text.size()) return out;
    if (most >= 0 && static_cast<std::int64_t>(out.size()) == most) {
      out.emplace_back(strip(text.substr(at), nullptr, false, true));
      return out;
    }
    const std::size_t begin = at;
    while (at < text.size() && !is_space(text[at])) ++at;
    out.emplace_back(text.substr(begin, at - begin));
  }
}

std::vector<std::u32string> rsplit_space(View text, std::int64_t most) {
  std::vector<std::u32string> out;
  std::size_t end = text.size();
  while (true) {
    while (end > 0 && is_space(text[end - 1])) --end;
    if (end == 0) break;
    if (most >= 0 && static_cast<std::int64_t>(out.size()) == most) {
      out.emplace_back(strip(text.substr(0, end), nullptr, true, false));
      break;
    }
    std::size_t begin = end;
    while (begin > 0 && !is_space(text[begin - 1])) --begin;
    out.emplace_back(text.substr(begin, end - begin));
    end = begin;
  }
  std::ranges::reverse(out);
  return out;
}

std::vector<std::u32string> split_by(View text, View separator, std::int64_t most) {
  std::vector<std::u32string> out;
  std::size_t at = 0;
  while (most < 0 || static_cast<std::int64_t>(out.size()) < most) {
    const std::size_t found = find_text(text, separator, at);
    if (found == kNone) break;
    out.emplace_back(text.substr(at, found - at));
    at = found + separator.size();
  }
  out.emplace_back(text.substr(at));
  return out;
}

std::vector<std::u32string> rsplit_by(Machine& machine, View text, View separator, std::int64_t most) {
  machine.step(text.size() / 16 * (1 + separator.size() / 16));
  std::vector<std::u32string> out;
  while (most < 0 || static_cast<std::int64_t>(out.size()) < most) {
    const std::size_t found = text.rfind(separator);
    if (found == kNone) break;
    out.emplace_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  out.emplace_back(text);
  std::ranges::reverse(out);
  return out;
}

Value texts(Machine& machine, const std::vector<std::u32string>& parts, bool markup) {
  machine.charge(parts.size() * sizeof(Value));
  std::vector<Value> out;
  out.reserve(parts.size());
  for (const std::u32string& part : parts) out.emplace_back(encode(part), markup);
  return Value::list(std::move(out));
}

template <typename Predicate>
bool all(View text, Predicate predicate) {
  return !text.empty() && std::ranges::all_of(text, predicate);
}

bool is_title_text(View text) {
  bool cased = false;
  bool inside = false;
  for (const char32_t c : text) {
    if (is_upper(c) || is_title(c)) {
      if (inside) return false;
      inside = cased = true;
    } else if (is_lower(c)) {
      if (!inside) return false;
      cased = true;
    } else {
      inside = false;
    }
  }
  return cased;
}

/// [begin, end) of a method's optional bounds.
std::pair<std::size_t, std::size_t> bounds(const Bound& arguments, std::size_t first, std::size_t size) {
  const auto place = [&](std::size_t at, std::int64_t otherwise) {
    std::int64_t value = arguments.has(at) ? arguments.integer(at, 0) : otherwise;
    if (value < 0) value = std::max<std::int64_t>(value + static_cast<std::int64_t>(size), 0);
    return static_cast<std::size_t>(value);
  };
  return {place(first, 0), std::min(place(first + 1, static_cast<std::int64_t>(size)), size)};
}

class TextMethod {
 public:
  TextMethod(Machine& machine, const Value& self, std::string_view name, Arguments arguments)
      : machine_(machine), self_(*self.if_text()), name_(name), arguments_(std::move(arguments)) {
    machine.charge(self_.bytes.size());
  }

  Value run() {
    if (name_ == "format") return brace_format(machine_, self_, arguments_);
    if (name_ == "join") return join();
    text_ = decode(self_.bytes);
    if (name_.starts_with("is")) return Value(question());
    if (name_ == "upper") return made(none(), upper(text_));
    if (name_ == "lower") return made(none(), lower(text_));
    if (name_ == "title") return made(none(), title(text_));
    if (name_ == "capitalize") return made(none(), capitalize(text_));
    if (name_ == "swapcase") return made(none(), swapcase(text_));
    if (name_ == "casefold") return made(none(), casefold(text_));
    if (name_ == "strip" || name_ == "lstrip" || name_ == "rstrip") return stripped();
    if (name_ == "split" || name_ == "rsplit") return split();
    if (name_ == "splitlines") return lines();
    if (name_ == "partition" || name_ == "rpartition") return partition();
    if (name_ == "replace") return replace();
    if (name_ == "startswith" || name_ == "endswith") return affix();
    if (name_ == "find" || name_ == "rfind" || name_ == "index" || name_ == "rindex" || name_ == "count") return search();
    if (name_ == "center" || name_ == "ljust" || name_ == "rjust") return justified();
    if (name_ == "zfill") return zero_filled();
    if (name_ == "removeprefix" || name_ == "removesuffix") return without_affix();
    if (name_ == "expandtabs") return tabs_expanded();
    if (name_ == "encode") return encoded();
    if (name_ == "format_map") {
      const Bound arguments("format_map", {"mapping"}, 1, std::move(arguments_));
      const Dict* dict = arguments[0].if_dict();
      if (dict == nullptr) type_error("'" + arguments[0].type_name() + "' object is not a mapping");
      Arguments named;
      for (const auto& [key, value] : dict->entries()) {
        if (const Text* text = key.if_text()) named.keywords.emplace_back(text->bytes, value);
      }
      return brace_format(machine_, self_, named);
    }
    return translated();
  }

 private:
  Value made(int, std::u32string_view text) {
    machine_.charge(text.size() * 4);
    return Value(encode(text), self_.markup);
  }
  int none() {
    const Bound check(name_, {}, 0, std::move(arguments_));
    return 0;
  }
  std::u32string argument(const Value& value) {
    const Text* text = value.if_text();
    if (text == nullptr) type_error("must be str, not " + value.type_name());
    return decode(self_.markup && !text->markup ? escape_text(text->bytes) : text->bytes);
  }

  /// Backwards there is no linear search at hand: what it may take is charged first.
  std::size_t rfind(View text, View wanted) {
    machine_.step(text.size() / 16 * (1 + wanted.size() / 16));
    return text.rfind(wanted);
  }

  bool question() {
    none();
    if (name_ == "isascii") return self_.ascii();
    if (name_ == "isalpha") return all(text_, is_alpha);
    if (name_ == "isdecimal") return all(text_, is_decimal);
    if (name_ == "isdigit") return all(text_, is_digit);
    if (name_ == "isnumeric") return all(text_, is_numeric);
    if (name_ == "isalnum") return all(text_, [](char32_t c) { return c != U'_' && is_word(c); });
    if (name_ == "isspace") return all(text_, is_space);
    if (name_ == "isprintable") return std::ranges::all_of(text_, is_printable);
    if (name_ == "isidentifier") return all(text_, is_identifier_part) && is_identifier_start(text_[0]);
    if (name_ == "istitle") return is_title_text(text_);
    const bool want_lower = name_ == "islower";
    bool found = false;
    for (const char32_t c : text_) {
      if (want_lower ? is_upper(c) || is_title(c) : is_lower(c) || is_title(c)) return false;
      found = found || (want_lower ? is_lower(c) : is_upper(c));
    }
    return found;
  }

  Value join() {
    const Bound arguments("join", {"iterable"}, 1, std::move(arguments_));
    std::string out;
    bool first = true;
    std::int64_t index = 0;
    const std::unique_ptr<Iterator> it = iterate(arguments[0]);
    while (const std::optional<Value> item = it->next(machine_)) {
      const Text* text = item->if_text();
      if (text == nullptr && !self_.markup) {
        type_error(fmt::format("sequence item {}: expected str instance, {} found", index, item->type_name()));
      }
      if (!first) out += self_.bytes;
      first = false;
      ++index;
      out += self_.markup ? escape(machine_, *item) : text->bytes;
      machine_.within(out.size());
    }
    machine_.charge(out.size());
    return Value(std::move(out), self_.markup);
  }

  Value stripped() {
    const Bound arguments(name_, {"chars"}, 0, std::move(arguments_));
    std::u32string characters;
    if (arguments.has(0)) {
      if (arguments[0].if_text() == nullptr) type_error(std::string(name_) + " arg must be None or str");
      characters = decode(arguments.text(0));
    }
    return made(0, strip(text_, arguments.has(0) ? &characters : nullptr, name_ != "rstrip", name_ != "lstrip"));
  }

  Value split() {
    const Bound arguments(name_, {"sep", "maxsplit"}, 0, std::move(arguments_));
    const std::int64_t most = arguments.integer(1, -1);
    const bool right = name_ == "rsplit";
    if (!arguments.has(0)) return texts(machine_, right ? rsplit_space(text_, most) : split_space(text_, most), self_.markup);
    const std::u32string separator = argument(arguments[0]);
    if (separator.empty()) value_error("empty separator");
    return texts(machine_, right ? rsplit_by(machine_, text_, separator, most) : split_by(text_, separator, most), self_.markup);
  }

  Value lines() {
    const Bound arguments(name_, {"keepends"}, 0, std::move(arguments_));
    const bool keep = arguments.integer(0, 0) != 0;
    std::vector<std::u32string> out;
    constexpr View kBreaks = U"\n\r\v\f\x1C\x1D\x1E\x85\u2028\u2029";
    std::size_t begin = 0;
    while (begin < text_.size()) {
      std::size_t end = begin;
      while (end < text_.size() && kBreaks.find(text_[end]) == kNone) ++end;
      std::size_t next = end;
      if (next < text_.size()) next += text_[next] == U'\r' && next + 1 < text_.size() && text_[next + 1] == U'\n' ? 2 : 1;
      out.push_back(text_.substr(begin, (keep ? next : end) - begin));
      begin = next;
    }
    return texts(machine_, out, self_.markup);
  }

  Value partition() {
    const Bound arguments(name_, {"sep"}, 1, std::move(arguments_));
    const std::u32string separator = argument(arguments[0]);
    if (separator.empty()) value_error("empty separator");
    const bool right = name_ == "rpartition";
    const std::size_t at = right ? rfind(text_, separator) : find_text(text_, separator);
    std::u32string parts[3];
    if (at == kNone) {
      parts[right ? 2 : 0] = text_;
    } else {
      parts[0] = text_.substr(0, at);
      parts[1] = separator;
      parts[2] = text_.substr(at + separator.size());
    }
    std::vector<Value> out;
    for (const std::u32string& part : parts) out.emplace_back(encode(part), self_.markup);
    return Value::tuple(std::move(out));
  }

  Value replace() {
    const Bound arguments(name_, {"old", "new", "count"}, 2, std::move(arguments_));
    for (const std::size_t i : {0U, 1U}) {
      if (arguments[i].if_text() == nullptr) type_error(fmt::format("replace() argument {} must be str, not {}", i + 1, arguments[i].type_name()));
    }
    const std::u32string from = argument(arguments[0]);
    const std::u32string to = argument(arguments[1]);
    const std::int64_t most = arguments.integer(2, -1);
    std::u32string out;
    std::size_t at = 0;
    std::int64_t done = 0;
    const auto limited = [&] { machine_.charge(out.size() * 4); };
    if (from.empty()) {
      for (; at <= text_.size() && (most < 0 || done < most); ++at, ++done) {
        out += to;
        if (at < text_.size()) out.push_back(text_[at]);
        if (out.size() * 4 > machine_.limits().text_bytes) limited();
      }
      if (at < text_.size()) out.append(text_, at);
      limited();
      return Value(encode(out), self_.markup);
    }
    while (most < 0 || done < most) {
      const std::size_t found = find_text(text_, from, at);
      if (found == kNone) break;
      out.append(text_, at, found - at).append(to);
      at = found + from.size();
      ++done;
      if (out.size() * 4 > machine_.limits().text_bytes) limited();
    }
    out.append(text_, at);
    limited();
    return Value(encode(out), self_.markup);
  }

  Value affix() {
    const Bound arguments(name_, {"prefix", "start", "end"}, 1, std::move(arguments_));
    const auto [begin, end] = bounds(arguments, 1, text_.size());
    const bool start = name_ == "startswith";
    const auto matches = [&, first = begin, last = end](const Value& value) {
      const Text* text = value.if_text();
      if (text == nullptr) type_error(fmt::format("tuple for {} must only contain str, not {}", name_, value.type_name()));
      if (first > last) return false;
      const View part = View(text_).substr(first, last - first);
      const std::u32string wanted = decode(text->bytes);
      return start ? part.starts_with(wanted) : part.ends_with(wanted);
    };
    if (const Tuple* tuple = arguments[0].if_tuple()) return Value(std::ranges::any_of(tuple->items, matches));
    if (arguments[0].if_text() == nullptr) {
      type_error(fmt::format("{} first arg must be str or a tuple of str, not {}", name_, arguments[0].type_name()));
    }
    return Value(matches(arguments[0]));
  }

  Value search() {
    const Bound arguments(name_, {"sub", "start", "end"}, 1, std::move(arguments_));
    const std::u32string wanted = argument(arguments[0]);
    const auto [begin, end] = bounds(arguments, 1, text_.size());
    const View part = begin <= end ? View(text_).substr(begin, end - begin) : View{};
    const bool possible = begin <= end;
    if (name_ == "count") {
      if (!possible) return Value(0);
      if (wanted.empty()) return Value(static_cast<std::int64_t>(part.size()) + 1);
      std::int64_t count = 0;
      for (std::size_t at = find_text(part, wanted); at != kNone; at = find_text(part, wanted, at + wanted.size())) ++count;
      return Value(count);
    }
    const std::size_t at = !possible ? kNone : name_.starts_with('r') ? rfind(part, wanted) : find_text(part, wanted);
    if (at == kNone) {
      if (name_.ends_with("index")) value_error("substring not found");
      return Value(-1);
    }
    return Value(static_cast<std::int64_t>(at + begin));
  }

  Value justified() {
    const Bound arguments(name_, {"width", "fillchar"}, 1, std::move(arguments_));
    const std::int64_t width = arguments.integer(0, 0);
    const std::u32string fill = arguments.has(1) ? argument(arguments[1]) : U" ";
    if (fill.size() != 1) type_error("The fill character must be exactly one character long");
    const auto size = static_cast<std::int64_t>(text_.size());
    if (width <= size) return made(0, text_);
    machine_.charge(static_cast<std::uint64_t>(width) * 4);
    const auto space = static_cast<std::size_t>(width - size);
    // Python puts the odd one left only where both the space and the width are odd.
    const std::size_t left = name_ == "ljust" ? 0 : name_ == "rjust" ? space : space / 2 + (space & static_cast<std::size_t>(width) & 1U);
    return made(0, std::u32string(left, fill[0]) + text_ + std::u32string(space - left, fill[0]));
  }

  Value zero_filled() {
    const Bound arguments(name_, {"width"}, 1, std::move(arguments_));
    const std::int64_t width = arguments.integer(0, 0);
    const auto size = static_cast<std::int64_t>(text_.size());
    if (width <= size) return made(0, text_);
    machine_.charge(static_cast<std::uint64_t>(width) * 4);
    const std::size_t sign = !text_.empty() && (text_[0] == U'+' || text_[0] == U'-') ? 1 : 0;
    std::u32string out = text_;
    out.insert(sign, static_cast<std::size_t>(width - size), U'0');
    return made(0, out);
  }

  Value without_affix() {
    const Bound arguments(name_, {"affix"}, 1, std::move(arguments_));
    const std::u32string affix = argument(arguments[0]);
    View text = text_;
    if (name_ == "removeprefix") {
      if (text.starts_with(affix)) text.remove_prefix(affix.size());
    } else if (!affix.empty() && text.ends_with(affix)) {
      text.remove_suffix(affix.size());
    }
    return made(0, text);
  }

  Value tabs_expanded() {
    const Bound arguments(name_, {"tabsize"}, 0, std::move(arguments_));
    const std::int64_t size = arguments.integer(0, 8);
    std::u32string out;
    std::int64_t column = 0;
    for (const char32_t c : text_) {
      if (c == U'\t') {
        const std::int64_t spaces = size > 0 ? size - column % size : 0;
        machine_.within((out.size() + static_cast<std::uint64_t>(spaces)) * 4);
        out.append(static_cast<std::size_t>(spaces), U' ');
        column += spaces;
      } else {
        out.push_back(c);
        column = c == U'\n' || c == U'\r' ? 0 : column + 1;
      }
    }
    return made(0, out);
  }

  Value encoded() {
    const Bound arguments(name_, {"encoding", "errors"}, 0, std::move(arguments_));
    std::string encoding = arguments.has(0) ? arguments.text(0) : "utf-8";
    std::ranges::transform(encoding, encoding.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (encoding != "utf-8" && encoding != "utf8" && encoding != "ascii") {
      throw JinjaError("LookupError", "unknown encoding: " + encoding);
    }
    if (encoding == "ascii" && !self_.ascii()) throw JinjaError("UnicodeEncodeError", "'ascii' codec can't encode characters: ordinal not in range(128)");
    return make_bytes(self_.bytes);
  }

  Value translated() {
    const Bound arguments(name_, {"table"}, 1, std::move(arguments_));
    const Dict* table = arguments[0].if_dict();
    if (name_ == "maketrans") {
      if (table == nullptr) type_error("if you give only one argument to maketrans it must be a dict");
      Dict out;
      for (const auto& [key, value] : table->entries()) {
        const Text* text = key.if_text();
        if (text != nullptr && text->length != 1) value_error("string keys in translate table must be of length 1");
        out.set(text == nullptr ? key : Value(static_cast<std::int64_t>(decode(text->bytes)[0])), value);
      }
      return Value::dict(std::move(out));
    }
    if (table == nullptr) type_error("'" + arguments[0].type_name() + "' object is not subscriptable");
    std::string out;
    for (const char32_t c : text_) {
      const Value* value = table->find(Value(static_cast<std::int64_t>(c)));
      if (value == nullptr) {
        append_utf8(out, c);
      } else if (const Text* text = value->if_text()) {
        out += text->bytes;
      } else if (const auto i = value->if_int(); i && *i >= 0 && *i <= 0x10FFFF) {
        append_utf8(out, static_cast<char32_t>(*i));
      } else if (!value->is_none()) {
        type_error("character mapping must return integer, None or str");
      }
      machine_.within(out.size());
    }
    return Value(std::move(out), self_.markup);
  }

  Machine& machine_;
  const Text& self_;
  std::string_view name_;
  Arguments arguments_;
  std::u32string text_;
};

}  // namespace

bool is_text_method(std::string_view name) { return std::ranges::find(kMethods, name) != kMethods.end(); }

Value call_text_method(Machine& machine, const Value& self, std::string_view name, Arguments arguments) {
  return TextMethod(machine, self, name, std::move(arguments)).run();
}

}  // namespace bigmodel::tokenizer::jinja
