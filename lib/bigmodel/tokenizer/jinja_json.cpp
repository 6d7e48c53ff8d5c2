// SPDX-License-Identifier: Apache-2.0
// json.dumps: separators, indent, key conversion and escapes to the byte.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_objects.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Machine& machine, const Bound& arguments) : machine_(machine) {
    ensure_ascii_ = arguments.flag(1);
    sort_keys_ = arguments.flag(4);
    if (arguments.has(2)) {
      pretty_ = true;
      item_separator_ = ",";
      if (const Text* text = arguments[2].if_text()) {
        indent_ = text->bytes;
      } else {
        const std::int64_t width = to_integer(arguments[2]);
        machine.charge(static_cast<std::uint64_t>(std::max<std::int64_t>(width, 0)));
        indent_ = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
      }
    }
    if (arguments.has(3)) {
      const std::vector<Value> two = collect(machine, arguments[3]);
      if (two.size() > 2) value_error("too many values to unpack (expected 2)");
      if (two.size() < 2) value_error(fmt::format("not enough values to unpack (expected 2, got {})", two.size()));
      if (two[0].if_text() == nullptr || two[1].if_text() == nullptr) type_error("separators must be strings");
      item_separator_ = two[0].if_text()->bytes;
      key_separator_ = two[1].if_text()->bytes;
    }
  }

  std::string take() { return std::move(out_); }

  void write(const Value& value, std::size_t level) {
    machine_.step();
    const Machine::Depth depth(machine_);
    if (value.is_none()) {
      out_ += "null";
    } else if (const bool* b = value.if_bool()) {
      out_ += *b ? "true" : "false";
    } else if (const Int* i = value.if_plain_int()) {
      out_ += int_text(*i);
    } else if (const double* d = value.if_float()) {
      out_ += number(*d);
    } else if (const Text* text = value.if_text()) {
      string(text->bytes);
    } else if (const Sequence* sequence = value.if_sequence()) {
      items(sequence->items, level);
    } else if (const Dict* dict = value.if_dict()) {
      object(*dict, level);
    } else {
      type_error("Object of type " + value.type_name() + " is not JSON serializable");
    }
    if (out_.size() > charged_ + 4096) {
      machine_.within(out_.size());
      machine_.step((out_.size() - charged_) / 16);
      charged_ = out_.size();
    }
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return repr_float(value);
  }

  void string(std::string_view text) {
    out_ += '"';
    for (const char32_t c : decode(text)) {
      switch (c) {
        case U'"': out_ += "\\\""; break;
        case U'\\': out_ += "\\\\"; break;
        case U'\n': out_ += "\\n"; break;
        case U'\r': out_ += "\\r"; break;
        case U'\t': out_ += "\\t"; break;
        case U'\f': out_ += "\\f"; break;
        case U'\b': out_ += "\\b"; break;
        default:
          if (c < 0x20) {
            out_ += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
          } else if (c < 0x7F || !ensure_ascii_) {
            append_utf8(out_, c);
          } else if (c > 0xFFFF) {
            const auto v = static_cast<std::uint32_t>(c) - 0x10000U;
            out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800U | (v >> 10U), 0xDC00U | (v & 0x3FFU));
          } else if (c == 0x7F) {
            out_ += '\x7F';
          } else {
            out_ += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
          }
      }
    }
    out_ += '"';
  }

  void line(std::size_t level) {
    if (!pretty_) return;
    out_ += '\n';
    for (std::size_t i = 0; i < level; ++i) out_ += indent_;
  }

  void items(const std::vector<Value>& values, std::size_t level) {
    if (values.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i != 0) out_ += item_separator_;
      line(level + 1);
      write(values[i], level + 1);
    }
    line(level);
    out_ += ']';
  }

  std::string key_text(const Value& key) const {
    if (const Text* text = key.if_text()) return text->bytes;
    if (key.is_none()) return "null";
    if (const bool* b = key.if_bool()) return *b ? "true" : "false";
    if (const Int* i = key.if_plain_int()) return int_text(*i);
    if (const double* d = key.if_float()) return number(*d);
    type_error("keys must be str, int, float, bool or None, not " + key.type_name());
  }

  void object(const Dict& dict, std::size_t level) {
    if (dict.size() == 0) {
      out_ += "{}";
      return;
    }
    std::vector<std::pair<Value, Value>> entries = dict.entries();
    if (sort_keys_) {
      std::ranges::stable_sort(entries, [&](const auto& a, const auto& b) { return less(machine_, a.first, b.first); });
    }
    out_ += '{';
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i != 0) out_ += item_separator_;
      line(level + 1);
      string(key_text(entries[i].first));
      out_ += key_separator_;
      write(entries[i].second, level + 1);
    }
    line(level);
    out_ += '}';
  }

  Machine& machine_;
  std::string out_;
  std::size_t charged_ = 0;
  bool ensure_ascii_ = false;
  bool sort_keys_ = false;
  bool pretty_ = false;
  std::string indent_;
  std::string item_separator_ = ", ";
  std::string key_separator_ = ": ";
};

}  // namespace

std::string to_json(Machine& machine, Arguments arguments) {
  const Bound bound("tojson", {"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1, std::move(arguments));
  JsonWriter writer(machine, bound);
  writer.write(bound[0], 0);
  return writer.take();
}

}  // namespace bigmodel::tokenizer::jinja
