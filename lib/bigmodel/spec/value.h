// SPDX-License-Identifier: Apache-2.0
// Values of the architecture language: null, booleans, 64-bit integers, doubles, strings, lists, maps, nested configs,
// and references to members (in blocks only). Immutable; lists and maps are shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bigmodel::spec {

class ConfigView;
class Value;

using List = std::vector<Value>;
using Map = std::vector<std::pair<std::string, Value>>;  ///< in the order of the text

/// `.path` in a block: a member below the module.
struct MemberRef {
  std::string path;
  bool operator==(const MemberRef&) const = default;
};

class Value {
 public:
  Value() = default;
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(int v) : data_(static_cast<std::int64_t>(v)) {}
  Value(double v) : data_(v) {}
  Value(std::string v) : data_(std::make_shared<const std::string>(std::move(v))) {}
  Value(const char* v) : Value(std::string(v)) {}
  Value(List v) : data_(std::make_shared<const List>(std::move(v))) {}
  Value(Map v) : data_(std::make_shared<const Map>(std::move(v))) {}
  Value(std::shared_ptr<ConfigView> v) : data_(std::move(v)) {}
  Value(MemberRef v) : data_(std::make_shared<const MemberRef>(std::move(v))) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  const bool* if_bool() const { return std::get_if<bool>(&data_); }
  const std::int64_t* if_int() const { return std::get_if<std::int64_t>(&data_); }
  const double* if_double() const { return std::get_if<double>(&data_); }
  const std::string* if_string() const { return pointee<std::string>(); }
  const List* if_list() const { return pointee<List>(); }
  const Map* if_map() const { return pointee<Map>(); }
  const MemberRef* if_member() const { return pointee<MemberRef>(); }
  const std::shared_ptr<ConfigView>* if_config() const { return std::get_if<std::shared_ptr<ConfigView>>(&data_); }

  /// Python's truth: null, false, 0, empty string, list or map are false.
  bool truthy() const;
  /// Any two values compare; 1 == 1.0 as in Python.
  friend bool operator==(const Value& a, const Value& b);
  /// Whether nothing can tell the two apart: the same kind and value, lists and maps the same object.
  bool is_identical(const Value& other) const;
  /// As in an error message, JSON-like and at most about 60 characters.
  std::string describe() const;
  /// As inside "{expr}" of a string.
  std::string text() const;

 private:
  template <typename T>
  const T* pointee() const {
    const auto* p = std::get_if<std::shared_ptr<const T>>(&data_);
    return p == nullptr ? nullptr : p->get();
  }

  std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const std::string>, std::shared_ptr<const List>,
               std::shared_ptr<const Map>, std::shared_ptr<ConfigView>, std::shared_ptr<const MemberRef>>
      data_;
};

/// The value under a key of a map, or null.
const Value* find(const Map& map, std::string_view key);

}  // namespace bigmodel::spec
