// SPDX-License-Identifier: Apache-2.0
// The values that a template computes with: Python's None, bool, int, float, str, list, tuple and dict, Jinja's undefined, and
// objects (loops, macros, generators ...). Containers are immutable once shared; only namespaces change.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "bigmodel/tokenizer/jinja_error.h"

namespace bigmodel::tokenizer::jinja {

/// Python's int as far as 127 bits; what overflows is an OverflowError.
__extension__ typedef __int128 Int;

class Machine;
class Value;
class Dict;

/// Containers in containers: deeper is refused where they are built, so that nothing that walks them overflows the stack.
inline constexpr std::uint32_t kMostNested = 400;
/// Values below a container, shared ones counted each time: a bound on any walk.
inline constexpr std::uint64_t kMostValues = std::uint64_t{1} << 26;

struct Text {
  std::string bytes;         ///< UTF-8; lone surrogates as three bytes
  std::int64_t length = 0;   ///< code points
  bool markup = false;       ///< markupsafe's Markup: escapes what is added to it
  bool ascii() const { return static_cast<std::size_t>(length) == bytes.size(); }
};

struct Sequence {
  std::vector<Value> items;
  std::uint32_t depth = 1;
  std::uint64_t weight = 1;  ///< values below, itself included
};
struct List : Sequence {};
struct Tuple : Sequence {
  bool group = false;  ///< the result of groupby: items 0 and 1 are also .grouper and .list
};

/// Why a value is undefined: what its use as an operand says.
struct UndefinedInfo {
  std::string message;
  bool security = false;  ///< SecurityError instead of UndefinedError
};

/// One pass over something; generators are iterators that are values.
class Iterator {
 public:
  virtual ~Iterator() = default;
  virtual std::optional<Value> next(Machine& machine) = 0;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;
};

/// Anything with identity. Type names are Python's, as messages show them.
class Object : public std::enable_shared_from_this<Object> {
 public:
  virtual ~Object() = default;
  virtual std::string type_name() const = 0;
  /// As Jinja's undefined values say it: "generator object", "jinja2.runtime.Macro object".
  virtual std::string described() const { return type_name() + " object"; }
  virtual std::string repr(Machine& machine) const;
  virtual bool truthy() const { return true; }
  virtual std::optional<Value> attribute(std::string_view name);
  virtual std::optional<Value> item(Machine& machine, const Value& key);
  virtual bool subscriptable() const { return false; }
  virtual bool callable() const { return false; }
  virtual Value call(Machine& machine, Arguments arguments);
  virtual std::unique_ptr<Iterator> iterate();  ///< nullptr: not iterable
  virtual std::optional<std::int64_t> length(Machine& machine);
  virtual bool equals(const Object& other) const { return this == &other; }
  virtual std::uint32_t depth() const { return 0; }
};

struct Missing {
  bool operator==(const Missing&) const = default;
};
struct None {
  bool operator==(const None&) const = default;
};

class Value {
 public:
  using TextRef = std::shared_ptr<const Text>;
  using ListRef = std::shared_ptr<const List>;
  using TupleRef = std::shared_ptr<const Tuple>;
  using DictRef = std::shared_ptr<const Dict>;
  using UndefinedRef = std::shared_ptr<const UndefinedInfo>;
  using ObjectRef = std::shared_ptr<Object>;

  Value() : data_(None{}) {}
  Value(bool v) : data_(v) {}
  Value(int v) : data_(static_cast<Int>(v)) {}
  Value(std::int64_t v) : data_(static_cast<Int>(v)) {}
  Value(Int v) : data_(v) {}
  Value(double v) : data_(v) {}
  Value(std::string v, bool markup = false);
  Value(std::string_view v) : Value(std::string(v)) {}
  Value(const char* v) : Value(std::string(v)) {}
  Value(std::shared_ptr<const List> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Tuple> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Dict> v) : data_(std::move(v)) {}
  Value(ObjectRef v) : data_(std::move(v)) {}

  static Value missing() { return from(Missing{}); }
  static Value undefined(std::string message, bool security = false);
  /// `'name' is undefined`
  static Value undefined_name(std::string_view name);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items, bool group = false);
  static Value dict(Dict entries);

  bool is_missing() const { return std::holds_alternative<Missing>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_undefined() const { return std::holds_alternative<UndefinedRef>(data_); }
  const bool* if_bool() const { return std::get_if<bool>(&data_); }
  const double* if_float() const { return std::get_if<double>(&data_); }
  const Int* if_plain_int() const { return std::get_if<Int>(&data_); }
  /// int or bool, as Python's isinstance(x, int).
  std::optional<Int> if_int() const;
  const Text* if_text() const { return pointee<TextRef>(); }
  const List* if_list() const { return pointee<ListRef>(); }
  const Tuple* if_tuple() const { return pointee<TupleRef>(); }
  const Sequence* if_sequence() const;
  const Dict* if_dict() const { return pointee<DictRef>(); }
  const UndefinedInfo* if_undefined() const { return pointee<UndefinedRef>(); }
  Object* if_object() const {
    const auto* p = std::get_if<ObjectRef>(&data_);
    return p == nullptr ? nullptr : p->get();
  }
  const ObjectRef& object() const { return std::get<ObjectRef>(data_); }
  const DictRef& dict_ref() const { return std::get<DictRef>(data_); }
  const ListRef& list_ref() const { return std::get<ListRef>(data_); }
  template <typename T>
  T* if_object_of() const {
    return dynamic_cast<T*>(if_object());
  }

  bool truthy() const;
  /// Python's type name: "str", "NoneType", "Undefined".
  std::string type_name() const;
  /// As Jinja names the object of a failed lookup: "dict object", "None".
  std::string described() const;
  std::uint32_t depth() const;
  /// What a walk over the value costs: values below it, and its text in units of 64 bytes.
  std::uint64_t weight() const;
  /// `is`: the same object, or equal small values.
  bool same_as(const Value& other) const;

 private:
  using Data = std::variant<Missing, None, bool, Int, double, TextRef, ListRef, TupleRef, DictRef, UndefinedRef, ObjectRef>;

  template <typename T>
  static Value from(T data) {
    Value v;
    v.data_ = std::move(data);
    return v;
  }
  template <typename Ref>
  const typename Ref::element_type* pointee() const {
    const auto* p = std::get_if<Ref>(&data_);
    return p == nullptr ? nullptr : p->get();
  }

  Data data_;
};

/// Insertion-ordered, keys by Python's equality (1 == 1.0 == True).
class Dict {
 public:
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  /// Replaces the value of a key that is there, keeping its place. Throws TypeError for an unhashable key.
  void set(Value key, Value value);
  void erase(std::string_view key);
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  std::uint32_t depth() const { return depth_; }
  std::uint64_t weight() const { return weight_; }

 private:
  std::optional<std::size_t> position(const Value& key) const;

  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_multimap<std::size_t, std::size_t> index_;  ///< hash -> position, once there are more than a few
  std::uint32_t depth_ = 1;
  std::uint64_t weight_ = 1;
};

/// Python's ==, and its hash. hash throws TypeError: unhashable type.
bool equal(const Value& a, const Value& b);
std::size_t hash_of(const Value& value);

/// Raises what using an undefined value as an operand raises.
[[noreturn]] void fail_undefined(const UndefinedInfo& info);

/// Python's repr() and str(). The machine bounds output and depth.
std::string repr(Machine& machine, const Value& value);
std::string str(Machine& machine, const Value& value);
std::string repr_text(std::string_view text);
std::string repr_float(double value);
std::string int_text(Int value);

/// iter(value); throws TypeError for what has none.
std::unique_ptr<Iterator> iterate(const Value& value);
/// list(value), charged to the machine.
std::vector<Value> collect(Machine& machine, const Value& value);
/// len(value); throws TypeError.
std::int64_t length_of(Machine& machine, const Value& value);

/// A generator: one pass, made by lazy filters. `depth` is that of what it draws from.
Value make_generator(std::function<std::optional<Value>(Machine&)> next, std::uint32_t depth);

}  // namespace bigmodel::tokenizer::jinja
