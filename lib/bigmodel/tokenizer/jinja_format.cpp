// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::int64_t kMostPrecision = 1000;

/// Digits of a number in a base, without sign.
std::string digits_of(Int value, int base, bool upper_case) {
  std::string out;
  do {
    int digit = static_cast<int>(value % base);
    if (digit < 0) digit = -digit;
    out.push_back("0123456789abcdef"[digit]);
    value /= base;
  } while (value != 0);
  std::ranges::reverse(out);
  if (upper_case) std::ranges::transform(out, out.begin(), [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c; });
  return out;
}

/// A float's digits for one of f F e E g G %, without sign.
std::string float_digits(double value, char type, std::int64_t precision, bool alternate) {
  if (precision > kMostPrecision) value_error("precision too big");
  value = std::abs(value);
  if (std::isnan(value) || std::isinf(value)) {
    const bool upper_case = type == 'F' || type == 'E' || type == 'G';
    return std::isnan(value) ? (upper_case ? "NAN" : "nan") : (upper_case ? "INF" : "inf");
  }
  std::array<char, 2048> buffer{};
  const int digits = static_cast<int>(precision);
  int size = 0;
  const auto print = [&](const char* plain, const char* with_point) {
    size = std::snprintf(buffer.data(), buffer.size(), alternate ? with_point : plain, digits, value);
  };
  switch (type) {
    case 'e': print("%.*e", "%#.*e"); break;
    case 'E': print("%.*E", "%#.*E"); break;
    case 'g': print("%.*g", "%#.*g"); break;
    case 'G': print("%.*G", "%#.*G"); break;
    default: print("%.*f", "%#.*f"); break;
  }
  return std::string(buffer.data(), static_cast<std::size_t>(std::clamp(size, 0, static_cast<int>(buffer.size()) - 1)));
}

struct Spec {
  char32_t fill = U' ';
  char32_t align = U'\0';
  char sign = '-';
  bool alternate = false;
  char grouping = '\0';
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = '\0';
};

std::string padded(Machine& machine, const std::string& sign, const std::string& body, std::int64_t width, char32_t fill, char32_t align) {
  const std::int64_t size = code_points(sign) + code_points(body);
  if (size >= width) return sign + body;
  machine.charge(static_cast<std::uint64_t>(width));
  const auto space = static_cast<std::size_t>(width - size);
  const std::size_t left = align == U'<' ? 0 : align == U'^' ? space / 2 : space;
  const auto run = [&](std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) append_utf8(out, fill);
    return out;
  };
  if (align == U'=') return sign + run(space) + body;
  return run(left) + sign + body + run(space - left);
}

std::string grouped(const std::string& digits, char separator, std::size_t every) {
  const std::size_t end = digits.find_first_not_of("0123456789abcdefABCDEF");
  const std::string whole = digits.substr(0, end);
  std::string out;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (i != 0 && (whole.size() - i) % every == 0) out.push_back(separator);
    out.push_back(whole[i]);
  }
  return end == std::string::npos ? out : out + digits.substr(end);
}

Spec parse_spec(std::string_view text, const std::string& type_name) {
  const std::u32string spec = decode(text);
  Spec out;
  std::size_t at = 0;
  const auto is_align = [](char32_t c) { return c == U'<' || c == U'>' || c == U'=' || c == U'^'; };
  if (spec.size() > 1 && is_align(spec[1])) {
    out.fill = spec[0];
    out.align = spec[1];
    at = 2;
  } else if (!spec.empty() && is_align(spec[0])) {
    out.align = spec[0];
    at = 1;
  }
  const auto peek = [&] { return at < spec.size() ? spec[at] : U'\0'; };
  if (peek() == U'+' || peek() == U'-' || peek() == U' ') out.sign = static_cast<char>(spec[at++]);
  if (peek() == U'#') {
    out.alternate = true;
    ++at;
  }
  if (peek() == U'0') {
    if (out.align == U'\0') {
      out.fill = U'0';
      if (type_name != "str") out.align = U'=';
    }
    ++at;
  }
  const auto number = [&] {
    std::int64_t value = 0;
    for (; peek() >= U'0' && peek() <= U'9'; ++at) {
      value = value * 10 + static_cast<std::int64_t>(peek() - U'0');
      if (value > (std::int64_t{1} << 40)) value_error("Too many decimal digits in format string");
    }
    return value;
  };
  out.width = number();
  if (peek() == U',' || peek() == U'_') out.grouping = static_cast<char>(spec[at++]);
  if (peek() == U'.') {
    ++at;
    if (peek() < U'0' || peek() > U'9') value_error("Format specifier missing precision");
    out.precision = number();
  }
  if (at < spec.size()) {
    if (at + 1 < spec.size() || spec[at] > 0x7F) value_error("Invalid format specifier");
    out.type = static_cast<char>(spec[at]);
  }
  return out;
}

[[noreturn]] void unknown_code(char code, const std::string& type_name) {
  value_error(fmt::format("Unknown format code '{}' for object of type '{}'", code, type_name));
}

std::string sign_of(bool negative, char wanted) { return negative ? "-" : wanted == '+' ? "+" : wanted == ' ' ? " " : ""; }

std::string format_number(Machine& machine, const Spec& spec, const Value& value, const std::string& type_name) {
  const auto integer = value.if_int();
  std::string prefix;
  std::string digits;
  bool negative = false;
  const bool as_integer = integer && std::string_view("\0bcdnoxX", 8).find(spec.type) != std::string_view::npos;
  if (as_integer) {
    if (spec.precision >= 0) value_error("Precision not allowed in integer format specifier");
    negative = *integer < 0;
    if (spec.type == 'c') {
      append_utf8(digits, static_cast<char32_t>(std::clamp<Int>(*integer, 0, 0x10FFFF)));
      negative = false;
    } else {
      const int base = spec.type == 'b' ? 2 : spec.type == 'o' ? 8 : spec.type == 'x' || spec.type == 'X' ? 16 : 10;
      digits = digits_of(*integer, base, spec.type == 'X');
      if (spec.alternate && base != 10) prefix = std::string("0") + spec.type;
      if (spec.grouping != '\0') digits = grouped(digits, spec.grouping, base == 10 ? 3 : 4);
    }
  } else {
    const double number = integer ? static_cast<double>(*integer) : *value.if_float();
    negative = std::signbit(number);
    if (spec.type == '\0') {
      if (spec.precision < 0) {
        digits = repr_float(std::abs(number));
      } else {
        digits = float_digits(number, 'g', std::max<std::int64_t>(spec.precision, 1), spec.alternate);
        if (digits.find_first_of(".en") == std::string::npos && digits.find("inf") == std::string::npos) {
          // Without a type a float always shows a digit after the point, where that fits the precision.
          if (static_cast<std::int64_t>(digits.size()) < spec.precision) {
            digits += ".0";
          } else {
            digits = float_digits(number, 'e', std::max<std::int64_t>(spec.precision - 1, 0), false);
          }
        }
      }
    } else if (std::string_view("fFeEgGn%").find(spec.type) == std::string_view::npos) {
      unknown_code(spec.type, type_name);
    } else {
      const std::int64_t precision = spec.precision < 0 ? 6 : spec.precision;
      const bool percent = spec.type == '%';
      const bool general = spec.type == 'g' || spec.type == 'G' || spec.type == 'n';
      digits = float_digits(percent ? number * 100 : number, percent ? 'f' : spec.type == 'n' ? 'g' : spec.type,
                            general ? std::max<std::int64_t>(precision, 1) : precision, spec.alternate);
      if (percent) digits += '%';
    }
    if (spec.grouping != '\0') digits = grouped(digits, spec.grouping, 3);
  }
  const char32_t align = spec.align == U'\0' ? U'>' : spec.align;
  return padded(machine, sign_of(negative, spec.sign) + prefix, digits, spec.width, spec.fill, align);
}

// --- percent

struct PercentSpec {
  bool left = false;
  bool plus = false;
  bool space = false;
  bool alternate = false;
  bool zero = false;
  std::int64_t width = 0;
  std::int64_t precision = -1;
};

class PercentFormat {
 public:
  PercentFormat(Machine& machine, const Text& format, const Value& values) : machine_(machine), format_(format), values_(values) {}

  Value run() {
    const std::string& text = format_.bytes;
    while (at_ < text.size()) {
      const std::size_t percent = text.find('%', at_);
      out_.append(text, at_, percent == std::string::npos ? percent : percent - at_);
      if (percent == std::string::npos) break;
      at_ = percent + 1;
      conversion();
      machine_.within(out_.size());
    }
    const bool leftover = values_.if_tuple() != nullptr ? next_ < values_.if_tuple()->items.size()
                                                        : !mapping_used_ && next_ == 0 && values_.if_dict() == nullptr && values_.if_list() == nullptr;
    if (leftover) type_error("not all arguments converted during string formatting");
    return Value(std::move(out_), format_.markup);
  }

 private:
  char peek() const {
    if (at_ >= format_.bytes.size()) value_error("incomplete format");
    return format_.bytes[at_];
  }

  Value take() {
    if (named_) return std::move(*named_);
    if (const Tuple* tuple = values_.if_tuple()) {
      if (next_ >= tuple->items.size()) type_error("not enough arguments for format string");
      return tuple->items[next_++];
    }
    if (next_++ != 0) type_error("not enough arguments for format string");
    return values_;
  }

  std::int64_t number() {
    if (peek() == '*') {
      ++at_;
      const auto value = take().if_int();
      if (!value) type_error("* wants int");
      return clamp_index(*value);
    }
    std::int64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + (peek() - '0');
      if (value > (std::int64_t{1} << 40)) value_error("width too big");
    }
    return value;
  }

  void conversion() {
    named_.reset();
    if (peek() == '(') {
      const Dict* dict = values_.if_dict();
      if (dict == nullptr) type_error("format requires a mapping");
      std::size_t end = at_ + 1;
      for (int depth = 1; depth > 0; ++end) {
        if (end >= format_.bytes.size()) value_error("incomplete format key");
        depth += format_.bytes[end] == '(' ? 1 : format_.bytes[end] == ')' ? -1 : 0;
      }
      const std::string key = format_.bytes.substr(at_ + 1, end - at_ - 2);
      const Value* value = dict->find(std::string_view(key));
      if (value == nullptr) throw JinjaError("KeyError", repr_text(key));
      named_ = *value;
      mapping_used_ = true;
      at_ = end;
    }
    PercentSpec spec;
    for (;; ++at_) {
      const char c = peek();
      if (c == '-') spec.left = true;
      else if (c == '+') spec.plus = true;
      else if (c == ' ') spec.space = true;
      else if (c == '#') spec.alternate = true;
      else if (c == '0') spec.zero = true;
      else break;
    }
    spec.width = number();
    if (spec.width < 0) {
      spec.left = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<std::int64_t>(number(), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
    const char type = peek();
    ++at_;
    if (type == '%') {
      out_ += '%';
      return;
    }
    add(spec, type, at_ - 1);
  }

  void add(const PercentSpec& spec, char type, std::size_t where) {
    if (std::string_view("srac").find(type) != std::string_view::npos) {
      const Value value = take();
      std::string text;
      if (type == 'c') {
        if (const auto i = value.if_int()) {
          if (*i < 0 || *i > 0x10FFFF) throw JinjaError("OverflowError", "%c arg not in range(0x110000)");
          append_utf8(text, static_cast<char32_t>(*i));
        } else if (const Text* one = value.if_text(); one != nullptr && one->length == 1) {
          text = one->bytes;
        } else {
          type_error("%c requires int or char");
        }
      } else {
        text = type == 's' ? (format_.markup ? escape(machine_, value) : str(machine_, value)) : repr(machine_, value);
      }
      if (spec.precision >= 0) {
        std::u32string points = decode(text);
        if (static_cast<std::int64_t>(points.size()) > spec.precision) points.resize(static_cast<std::size_t>(spec.precision));
        text = encode(points);
      }
      out_ += padded(machine_, "", text, spec.width, U' ', spec.left ? U'<' : U'>');
      return;
    }
    const bool integer = std::string_view("diuxXo").find(type) != std::string_view::npos;
    const bool floating = std::string_view("eEfFgG").find(type) != std::string_view::npos;
    if (!integer && !floating) {
      const auto shown = static_cast<unsigned char>(type);
      value_error(fmt::format("unsupported format character '{}' ({:#x}) at index {}", type, shown, where));
    }
    const Value value = take();
    if (const UndefinedInfo* info = value.if_undefined(); info != nullptr && floating) fail_undefined(*info);
    const auto i = value.if_int();
    const double* d = value.if_float();
    if (!i && d == nullptr) {
      if (integer) type_error(fmt::format("%{} format: {} is required, not {}", type, type == 'd' || type == 'i' || type == 'u' ? "a real number" : "an integer", value.type_name()));
      type_error("must be real number, not " + value.type_name());
    }
    std::string digits;
    std::string prefix;
    bool negative = false;
    if (integer) {
      if (!i && type != 'd' && type != 'i' && type != 'u') type_error(fmt::format("%{} format: an integer is required, not float", type));
      if (!i && !(std::abs(*d) < 0x1p126)) throw JinjaError("OverflowError", "cannot convert float infinity to integer");
      const Int number = i ? *i : static_cast<Int>(*d);
      negative = number < 0;
      digits = digits_of(number, type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : 10, type == 'X');
      if (spec.precision > kMostPrecision) value_error("precision too big");
      if (static_cast<std::int64_t>(digits.size()) < spec.precision) {
        digits.insert(0, static_cast<std::size_t>(spec.precision) - digits.size(), '0');
      }
      if (spec.alternate && type != 'd' && type != 'i' && type != 'u') prefix = std::string("0") + type;
    } else {
      const double number = i ? static_cast<double>(*i) : *d;
      negative = std::signbit(number) && !std::isnan(number);
      digits = float_digits(number, type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
    }
    const std::string sign = sign_of(negative, spec.plus ? '+' : spec.space ? ' ' : '-') + prefix;
    const bool zero = spec.zero && !spec.left;
    out_ += padded(machine_, sign, digits, spec.width, zero ? U'0' : U' ', spec.left ? U'<' : zero ? U'=' : U'>');
  }

  Machine& machine_;
  const Text& format_;
  const Value& values_;
  std::string out_;
  std::size_t at_ = 0;
  std::size_t next_ = 0;
  std::optional<Value> named_;
  bool mapping_used_ = false;
};

// --- braces

class BraceFormat {
 public:
  BraceFormat(Machine& machine, const Text& format, const Arguments& arguments)
      : machine_(machine), format_(format), arguments_(arguments) {}

  std::string run(std::string_view text, int depth) {
    if (depth < 0) value_error("Max string recursion exceeded");
    std::string out;
    std::size_t at = 0;
    while (at < text.size()) {
      const char c = text[at];
      if (c != '{' && c != '}') {
        out += c;
        ++at;
        continue;
      }
      if (at + 1 < text.size() && text[at + 1] == c) {
        out += c;
        at += 2;
        continue;
      }
      if (c == '}') value_error("Single '}' encountered in format string");
      std::size_t end = at + 1;
      int nested = 1;
      int square = 0;
      for (; end < text.size(); ++end) {
        if (text[end] == '[') ++square;
        if (text[end] == ']') square = 0;
        if (text[end] == '{') ++nested;
        if (text[end] == '}' && --nested == 0) break;
      }
      if (end >= text.size()) value_error(at + 1 == text.size() ? "Single '{' encountered in format string" : "expected '}' before end of string");
      out += field(text.substr(at + 1, end - at - 1), depth);
      machine_.within(out.size());
      at = end + 1;
    }
    return out;
  }

 private:
  std::string field(std::string_view field, int depth) {
    std::size_t name_end = 0;
    bool square = false;
    for (; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (c == '[') square = true;
      if (c == ']') square = false;
      if (!square && (c == '!' || c == ':')) break;
    }
    const std::string_view name = field.substr(0, name_end);
    std::string_view rest = field.substr(name_end);
    char conversion = '\0';
    if (rest.starts_with('!')) {
      if (rest.size() < 2) value_error("end of string while looking for conversion specifier");
      conversion = rest[1];
      rest = rest.substr(2);
      if (!rest.empty() && rest[0] != ':') value_error("expected ':' after conversion specifier");
    }
    const std::string spec = rest.empty() ? "" : run(rest.substr(1), depth - 1);
    Value value = look_up(name);
    if (conversion == 'r' || conversion == 'a') {
      value = Value(repr(machine_, value));
    } else if (conversion == 's') {
      value = Value(str(machine_, value));
    } else if (conversion != '\0') {
      value_error(fmt::format("Unknown conversion specifier {}", conversion));
    }
    std::string out = format_value(machine_, value, spec);
    return format_.markup && (value.if_text() == nullptr || !value.if_text()->markup) ? escape_text(out) : out;
  }

  Value look_up(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, end);
    const bool number = !first.empty() && std::ranges::all_of(first, [](char c) { return c >= '0' && c <= '9'; });
    Value value;
    if (first.empty() || number) {
      std::size_t index = 0;
      if (first.empty()) {
        if (manual_) value_error("cannot switch from manual field specification to automatic field numbering");
        index = automatic_++;
        numbered_ = true;
      } else {
        if (numbered_) value_error("cannot switch from manual field specification to automatic field numbering");
        manual_ = true;
        for (const char c : first) index = std::min<std::size_t>(index * 10 + static_cast<std::size_t>(c - '0'), 1U << 30);
      }
      if (index >= arguments_.positional.size()) {
        throw JinjaError("IndexError", fmt::format("Replacement index {} out of range for positional args tuple", index));
      }
      value = arguments_.positional[index];
    } else {
      const auto it = std::ranges::find_if(arguments_.keywords, [&](const auto& row) { return row.first == first; });
      if (it == arguments_.keywords.end()) throw JinjaError("KeyError", repr_text(first));
      value = it->second;
    }
    std::size_t at = end;
    while (at < name.size()) {
      if (name[at] == '.') {
        const std::size_t stop = std::min(name.find_first_of(".[", at + 1), name.size());
        if (stop == at + 1) value_error("Empty attribute in format string");
        value = get_attribute(machine_, value, name.substr(at + 1, stop - at - 1));
        at = stop;
      } else if (name[at] == '[') {
        const std::size_t stop = name.find(']', at);
        if (stop == std::string_view::npos) value_error("Missing ']' in format string");
        const std::string_view key = name.substr(at + 1, stop - at - 1);
        if (key.empty()) value_error("Empty attribute in format string");
        const bool digits = key.size() < 18 && std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; });
        std::int64_t index = 0;
        for (const char c : digits ? key : std::string_view{}) index = index * 10 + (c - '0');
        value = get_item(machine_, value, digits ? Value(index) : Value(key));
        at = stop + 1;
      } else {
        value_error("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Machine& machine_;
  const Text& format_;
  const Arguments& arguments_;
  std::size_t automatic_ = 0;
  bool numbered_ = false;
  bool manual_ = false;
};

}  // namespace

std::string format_value(Machine& machine, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return str(machine, value);
  const std::string type = value.if_text() != nullptr ? "str" : value.type_name();
  const bool number = value.if_float() != nullptr || value.if_int().has_value();
  if (!number && value.if_text() == nullptr) type_error("unsupported format string passed to " + type + ".__format__");
  const Spec spec = parse_spec(spec_text, type);
  if (number) return format_number(machine, spec, value, type == "bool" ? "int" : type);
  if (spec.type != '\0' && spec.type != 's') unknown_code(spec.type, type);
  if (spec.sign != '-') value_error("Sign not allowed in string format specifier");
  if (spec.alternate) value_error("Alternate form (#) not allowed in string format specifier");
  if (spec.align == U'=') value_error("'=' alignment not allowed in string format specifier");
  if (spec.grouping != '\0') value_error(fmt::format("Cannot specify '{}' with 's'.", spec.grouping));
  std::u32string points = decode(value.if_text()->bytes);
  if (spec.precision >= 0 && static_cast<std::int64_t>(points.size()) > spec.precision) points.resize(static_cast<std::size_t>(spec.precision));
  return padded(machine, "", encode(points), spec.width, spec.fill, spec.align == U'\0' ? U'<' : spec.align);
}

Value percent_format(Machine& machine, const Text& format, const Value& values) { return PercentFormat(machine, format, values).run(); }

Value brace_format(Machine& machine, const Text& format, const Arguments& arguments) {
  return Value(BraceFormat(machine, format, arguments).run(format.bytes, 2), format.markup);
}

}  // namespace bigmodel::tokenizer::jinja
