// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace bigmodel::spec {
namespace {

constexpr std::size_t kDescribed = 60;

void describe_into(const Value& value, std::string& out) {
  if (out.size() > kDescribed) return;
  if (value.is_null()) {
    out += "null";
  } else if (const bool* b = value.if_bool()) {
    out += *b ? "true" : "false";
  } else if (const std::int64_t* integer = value.if_int()) {
    out += std::to_string(*integer);
  } else if (const double* d = value.if_double()) {
    out += fmt::format("{}", *d);
  } else if (const std::string* s = value.if_string()) {
    out += fmt::format("\"{}\"", s->substr(0, kDescribed));
  } else if (const List* list = value.if_list()) {
    out += '[';
    for (std::size_t i = 0; i < list->size() && out.size() <= kDescribed; ++i) {
      if (i > 0) out += ", ";
      describe_into((*list)[i], out);
    }
    out += ']';
  } else if (const Map* map = value.if_map()) {
    out += '{';
    for (std::size_t i = 0; i < map->size() && out.size() <= kDescribed; ++i) {
      if (i > 0) out += ", ";
      out += fmt::format("\"{}\": ", (*map)[i].first.substr(0, kDescribed));
      describe_into((*map)[i].second, out);
    }
    out += '}';
  } else if (const MemberRef* member = value.if_member()) {
    out += "." + member->path;
  } else {
    out += "a nested config";
  }
}

}  // namespace

bool Value::truthy() const {
  if (is_null()) return false;
  if (const bool* b = if_bool()) return *b;
  if (const std::int64_t* i = if_int()) return *i != 0;
  if (const double* d = if_double()) return *d != 0;
  if (const std::string* s = if_string()) return !s->empty();
  if (const List* list = if_list()) return !list->empty();
  if (const Map* map = if_map()) return !map->empty();
  return true;
}

bool operator==(const Value& a, const Value& b) {
  const auto number = [](const Value& v) -> std::optional<double> {
    if (const double* d = v.if_double()) return *d;
    if (const std::int64_t* i = v.if_int()) return static_cast<double>(*i);
    if (const bool* x = v.if_bool()) return *x ? 1.0 : 0.0;
    return std::nullopt;
  };
  if (a.if_int() != nullptr && b.if_int() != nullptr) return *a.if_int() == *b.if_int();
  if (const auto x = number(a), y = number(b); x && y) return *x == *y;
  if (a.is_null() || b.is_null()) return a.is_null() && b.is_null();
  if (a.if_string() && b.if_string()) return *a.if_string() == *b.if_string();
  if (a.if_list() && b.if_list()) return *a.if_list() == *b.if_list();
  if (a.if_member() && b.if_member()) return *a.if_member() == *b.if_member();
  if (a.if_config() && b.if_config()) return *a.if_config() == *b.if_config();
  if (a.if_map() && b.if_map()) {
    const Map& x = *a.if_map();
    const Map& y = *b.if_map();
    return x.size() == y.size() && std::ranges::all_of(x, [&y](const auto& item) {
             const Value* other = find(y, item.first);
             return other != nullptr && *other == item.second;
           });
  }
  return false;
}

bool Value::is_identical(const Value& other) const {
  if (const std::string* text = if_string()) return other.if_string() != nullptr && *text == *other.if_string();
  return data_ == other.data_;  // shared ones by address
}

std::string Value::describe() const {
  std::string out;
  describe_into(*this, out);
  if (out.size() > kDescribed) out = out.substr(0, kDescribed) + "...";
  return out;
}

std::string Value::text() const {
  if (const std::string* s = if_string()) return *s;
  return describe();
}

const Value* find(const Map& map, std::string_view key) {
  const auto it = std::ranges::find(map, key, &std::pair<std::string, Value>::first);
  return it == map.end() ? nullptr : &it->second;
}

}  // namespace bigmodel::spec
