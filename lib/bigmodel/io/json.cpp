// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/json.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/core/repeated_name.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

struct Place {
  std::size_t line = 1;
  std::size_t column = 1;
};

Place place_of(std::string_view text, std::size_t offset) {
  Place place;
  for (const char c : text.substr(0, std::min(offset, text.size()))) {
    if (c == '\n') {
      ++place.line;
      place.column = 1;
    } else {
      ++place.column;
    }
  }
  return place;
}

[[noreturn]] void fail(std::string_view text, const std::string& object, std::size_t offset, std::string_view what) {
  const Place place = place_of(text, offset);
  throw FormatError(fmt::format("{}: line {}, column {}: {}", object, place.line, place.column, what));
}

/// A bare Python constant and the object that stands for it while nlohmann reads.
struct Constant {
  std::string_view text;
  std::string_view object;
};
constexpr Constant kConstants[] = {
    {"-Infinity", R"({"__float__":"-Infinity"})"},
    {"Infinity", R"({"__float__":"Infinity"})"},
    {"NaN", R"({"__float__":"NaN"})"},
};

/// Python's json writes NaN and Infinity bare; outside strings they become the spelling that transformers also uses.
std::optional<std::string> without_bare_constants(std::string_view text) {
  if (text.find("Infinity") == std::string_view::npos && text.find("NaN") == std::string_view::npos) return std::nullopt;
  std::string out;
  bool in_string = false;
  bool changed = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\' && i + 1 < text.size()) {
        out += c;
        out += text[i + 1];
        i += 2;
        continue;
      }
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else {
      bool hit = false;
      for (const Constant& constant : kConstants) {
        if (text.substr(i).starts_with(constant.text)) {
          out += constant.object;
          i += constant.text.size();
          hit = changed = true;
          break;
        }
      }
      if (hit) continue;
    }
    out += c;
    ++i;
  }
  if (!changed) return std::nullopt;
  return out;
}

std::optional<double> float_object(const Json& value) {
  if (!value.is_object() || value.size() != 1) return std::nullopt;
  const auto it = value.find("__float__");
  if (it == value.end() || !it->is_string()) return std::nullopt;
  const auto& word = it->get_ref<const std::string&>();
  if (word == "Infinity") return std::numeric_limits<double>::infinity();
  if (word == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

std::optional<std::string_view> repeated_key(const Json& object) {
  const auto& members = object.get_ref<const Json::object_t&>();
  std::vector<std::string_view> keys;
  keys.reserve(members.size());
  for (const auto& member : members) keys.push_back(member.first);
  return repeated_name(keys);
}

/// Builds the value while it checks depth, count and duplicate keys; nlohmann's parser itself does not recurse.
class Builder {
 public:
  Builder(std::string_view text, const std::string& object, const JsonLimits& limits)
      : text_(text), object_(object), limits_(limits) {}

  bool null() { return put(nullptr); }
  bool boolean(bool v) { return put(v); }
  bool number_integer(Json::number_integer_t v) { return put(v); }
  bool number_unsigned(Json::number_unsigned_t v) { return put(v); }
  bool number_float(Json::number_float_t v, const Json::string_t&) { return put(v); }
  bool string(Json::string_t& v) { return put(std::move(v)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_array() { return close(); }
  bool end_object() {
    if (limits_.refuse_duplicate_keys) {
      if (const std::optional<std::string_view> twice = repeated_key(stack_.back().value)) {
        refusal_ = fmt::format("key '{}' appears twice in one object", twice->substr(0, 80));
        return false;
      }
    }
    return close();
  }
  bool key(Json::string_t& v) {
    key_stack_.back() = std::move(v);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) {
    std::string what = e.what();
    // nlohmann: "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing ...".
    if (const auto colon = what.find(": "); colon != std::string::npos && what.find("parse error at") < colon) {
      what = what.substr(colon + 2);
    } else if (const auto bracket = what.find("] "); bracket != std::string::npos) {
      what = what.substr(bracket + 2);
    }
    for (char& c : what) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    // The position that nlohmann gives is one past the character at fault.
    fail(text_, object_, position == 0 ? 0 : position - 1, "not valid JSON: " + what.substr(0, 200));
  }

  Json take() { return std::move(root_); }
  const std::string& refusal() const { return refusal_; }

 private:
  struct Frame {
    Json value;
  };

  bool count() {
    if (++values_ > limits_.values) {
      refusal_ = fmt::format("more than {} values", limits_.values);
      return false;
    }
    return true;
  }

  bool put(Json value) {
    if (!count()) return false;
    attach(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (!count()) return false;
    if (static_cast<int>(stack_.size()) >= limits_.depth) {
      refusal_ = fmt::format("nested deeper than {} levels", limits_.depth);
      return false;
    }
    stack_.push_back({std::move(container)});
    key_stack_.emplace_back();
    return true;
  }

  bool close() {
    Json done = std::move(stack_.back().value);
    stack_.pop_back();
    key_stack_.pop_back();
    if (const std::optional<double> number = float_object(done)) done = *number;
    attach(std::move(done));
    return true;
  }

  void attach(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Json& parent = stack_.back().value;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return;
    }
    if (limits_.refuse_duplicate_keys) {
      // ordered_json searches linearly on insert; end_object finds keys that repeat.
      static_cast<Json::object_t::Container&>(parent.get_ref<Json::object_t&>())
          .emplace_back(std::move(key_stack_.back()), std::move(value));
    } else {
      parent[key_stack_.back()] = std::move(value);
    }
  }

  std::string_view text_;
  const std::string& object_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Frame> stack_;
  std::vector<std::string> key_stack_;
  std::uint64_t values_ = 0;
  std::string refusal_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& object, const JsonLimits& limits) {
  if (text.size() > limits.size_bytes) {
    throw FormatError(fmt::format("{}: {} bytes of JSON, expected at most {}", object, text.size(), limits.size_bytes));
  }
  // nlohmann takes a NUL for the end of the input: what follows it would go unseen.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) fail(text, object, nul, "not valid JSON: holds a NUL");
  const std::optional<std::string> rewritten = without_bare_constants(text);
  const std::string_view source = rewritten ? std::string_view(*rewritten) : text;
  Builder builder(source, object, limits);
  if (!Json::sax_parse(source, &builder)) {
    throw FormatError(fmt::format("{}: {}", object, builder.refusal()));
  }
  return builder.take();
}

Json read_json_file(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.size_bytes), path.string(), limits);
}

}  // namespace bigmodel
