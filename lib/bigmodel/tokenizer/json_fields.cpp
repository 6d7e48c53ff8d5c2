// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/json_fields.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"

namespace bigmodel::tokenizer {

using Json = nlohmann::ordered_json;

namespace {

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

JsonFields::JsonFields(const Json& json, std::string object) : json_(json), object_(std::move(object)) {
  if (!json.is_object()) throw FormatError(fmt::format("{}: expected an object, got {}", object_, shown(json)));
}

void JsonFields::fail(std::string_view key, std::string_view expected) const {
  const auto it = json_.find(key);
  if (it == json_.end()) throw FormatError(fmt::format("{}: no '{}', expected {}", object_, key, expected));
  throw FormatError(fmt::format("{}: bad '{}', expected {}, got {}", object_, key, expected, shown(*it)));
}

bool JsonFields::has(std::string_view key) const { return json_.contains(key); }

bool JsonFields::has_value(std::string_view key) const {
  const auto it = json_.find(key);
  return it != json_.end() && !it->is_null();
}

const Json& JsonFields::at(std::string_view key) const {
  const auto it = json_.find(key);
  if (it == json_.end()) fail(key, "a value");
  return *it;
}

const Json& JsonFields::array(std::string_view key) const {
  if (!has(key) || !at(key).is_array()) fail(key, "a list");
  return at(key);
}

std::string JsonFields::text(std::string_view key) const {
  if (!has(key) || !at(key).is_string()) fail(key, "a text");
  return at(key).get<std::string>();
}

bool JsonFields::boolean(std::string_view key) const {
  if (!has(key) || !at(key).is_boolean()) fail(key, "true or false");
  return at(key).get<bool>();
}

bool JsonFields::boolean_or(std::string_view key, bool otherwise) const { return has(key) ? boolean(key) : otherwise; }

std::uint64_t JsonFields::count(std::string_view key) const {
  if (!has(key) || !at(key).is_number_unsigned()) fail(key, "a whole number that is not negative");
  return at(key).get<std::uint64_t>();
}

std::uint32_t as_id(const Json& json, const std::string& object) {
  if (!json.is_number_unsigned() || json.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
    throw FormatError(fmt::format("{}: bad id, expected a whole number below 2^32, got {}", object, shown(json)));
  }
  return static_cast<std::uint32_t>(json.get<std::uint64_t>());
}

std::uint32_t JsonFields::id(std::string_view key) const {
  if (count(key) > std::numeric_limits<std::uint32_t>::max()) fail(key, "a whole number below 2^32");
  return static_cast<std::uint32_t>(count(key));
}

char32_t JsonFields::character(std::string_view key) const {
  const std::string value = text(key);
  if (value.empty() || utf8_length(value[0]) != value.size()) fail(key, "one character");
  return code_point_at(value, 0).value;
}

Regex JsonFields::pattern(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_object() || value.size() != 1) fail(key, R"({"String": text} or {"Regex": text})");
  const auto it = value.begin();
  if (!it.value().is_string()) fail(key, R"({"String": text} or {"Regex": text})");
  if (it.key() == "String") return Regex::of_literal(it.value().get_ref<const std::string&>());
  if (it.key() == "Regex") {
    try {
      return Regex(it.value().get<std::string>());
    } catch (const FormatError& e) {
      throw FormatError(fmt::format("{}: {}", object_, e.message()), e.hint());
    }
  }
  fail(key, R"({"String": text} or {"Regex": text})");
}

SplitBehavior JsonFields::behavior(std::string_view key) const {
  const std::string name = text(key);
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  fail(key, "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

}  // namespace bigmodel::tokenizer
