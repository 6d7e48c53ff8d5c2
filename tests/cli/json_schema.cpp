// SPDX-License-Identifier: Apache-2.0
#include "cli/json_schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <stdexcept>

#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::json;

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "null") return value.is_null();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  throw std::runtime_error("schema: unknown type " + type);
}

class Checker {
 public:
  explicit Checker(const Json& root) : root_(root) {}

  void check(const Json& schema, const Json& value, const std::string& at, std::vector<std::string>& faults) const {
    const auto fault = [&](const std::string& what) { faults.push_back(fmt::format("{}: {}", at.empty() ? "/" : at, what)); };
    for (const auto& [keyword, rule] : schema.items()) {
      if (keyword == "$schema" || keyword == "$id" || keyword == "title" || keyword == "$defs") continue;
      if (keyword == "$ref") {
        check(root_.at(Json::json_pointer(rule.get<std::string>().substr(1))), value, at, faults);
      } else if (keyword == "type") {
        // One name, or a list of those that are allowed.
        const Json allowed = rule.is_array() ? rule : Json::array({rule});
        if (std::ranges::none_of(allowed, [&](const Json& type) { return has_type(value, type); })) fault(fmt::format("expected {}, got {}", rule.dump(), value.dump()));
      } else if (keyword == "const") {
        if (value != rule) fault(fmt::format("expected {}, got {}", rule.dump(), value.dump()));
      } else if (keyword == "enum") {
        if (std::find(rule.begin(), rule.end(), value) == rule.end()) fault(fmt::format("not one of {}", rule.dump()));
      } else if (keyword == "minimum") {
        if (value.is_number() && value < rule) fault(fmt::format("less than {}", rule.dump()));
      } else if (keyword == "minItems") {
        if (value.is_array() && value.size() < rule) fault(fmt::format("fewer than {} items", rule.dump()));
      } else if (keyword == "maxItems") {
        if (value.is_array() && value.size() > rule) fault(fmt::format("more than {} items", rule.dump()));
      } else if (keyword == "pattern") {
        if (value.is_string() && !std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()))) {
          fault("does not match " + rule.dump());
        }
      } else if (keyword == "required") {
        for (const Json& key : rule) {
          if (value.is_object() && !value.contains(key.get<std::string>())) fault("lacks " + key.dump());
        }
      } else if (keyword == "properties") {
        if (!value.is_object()) continue;
        for (const auto& [key, inner] : rule.items()) {
          if (value.contains(key)) check(inner, value.at(key), at + "/" + key, faults);
        }
      } else if (keyword == "items") {
        if (!value.is_array()) continue;
        for (std::size_t i = 0; i < value.size(); ++i) check(rule, value[i], fmt::format("{}/{}", at, i), faults);
      } else if (keyword == "anyOf") {
        const bool any = std::any_of(rule.begin(), rule.end(), [&](const Json& one) {
          std::vector<std::string> inner;
          check(one, value, at, inner);
          return inner.empty();
        });
        if (!any) fault("fits no alternative");
      } else {
        throw std::runtime_error("schema: unknown keyword " + keyword);
      }
    }
  }

 private:
  const Json& root_;
};

}  // namespace

std::vector<std::string> schema_faults(const Json& schema, const Json& value) {
  std::vector<std::string> faults;
  Checker(schema).check(schema, value, "", faults);
  return faults;
}

Json load_schema(const std::string& name) {
  std::ifstream in(source_root() / "schemas" / (name + ".schema.json"));
  return Json::parse(in);
}

std::string faults_of(const std::string& schema_name, const std::string& text) {
  const Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return "not JSON: " + text.substr(0, 200);
  return fmt::format("{}", fmt::join(schema_faults(load_schema(schema_name), value), "; "));
}

}  // namespace bigmodel::test
