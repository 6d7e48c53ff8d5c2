// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_objects.h"

#include <fmt/format.h>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_operators.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::int64_t kLongestRange = 100000;

template <typename T, typename... Args>
Value make_object(Args&&... args) {
  return Value(std::static_pointer_cast<Object>(std::make_shared<T>(std::forward<Args>(args)...)));
}

class Range : public Object {
 public:
  Range(Int start, Int stop, Int step) : start_(start), stop_(stop), step_(step) {
    if (step > 0 && stop > start) length_ = (stop - start - 1) / step + 1;
    if (step < 0 && stop < start) length_ = (start - stop - 1) / -step + 1;
  }
  std::string type_name() const override { return "range"; }
  bool truthy() const override { return length_ != 0; }
  bool subscriptable() const override { return true; }
  Int size() const { return length_; }
  std::optional<std::int64_t> length(Machine&) override { return static_cast<std::int64_t>(length_); }
  std::string repr(Machine&) const override {
    return "range(" + int_text(start_) + ", " + int_text(stop_) + (step_ == 1 ? "" : ", " + int_text(step_)) + ")";
  }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "start") return Value(start_);
    if (name == "stop") return Value(stop_);
    if (name == "step") return Value(step_);
    return std::nullopt;
  }
  std::optional<Value> item(Machine&, const Value& key) override {
    const auto index = key.if_int();
    if (!index) return std::nullopt;
    const Int at = *index < 0 ? *index + length_ : *index;
    if (at < 0 || at >= length_) return std::nullopt;
    return Value(start_ + at * step_);
  }
  std::unique_ptr<Iterator> iterate() override {
    class It : public Iterator {
     public:
      It(Int start, Int step, Int left) : at_(start), step_(step), left_(left) {}
      std::optional<Value> next(Machine& machine) override {
        machine.step();
        if (left_ == 0) return std::nullopt;
        --left_;
        const Int value = at_;
        at_ += step_;
        return Value(value);
      }

     private:
      Int at_;
      Int step_;
      Int left_;
    };
    return std::make_unique<It>(start_, step_, length_);
  }
  bool equals(const Object& other) const override {
    const auto* range = dynamic_cast<const Range*>(&other);
    if (range == nullptr || range->length_ != length_) return false;
    return length_ == 0 || (range->start_ == start_ && (length_ == 1 || range->step_ == step_));
  }

 private:
  Int start_;
  Int stop_;
  Int step_;
  Int length_ = 0;
};

using Callback = Value (*)(Machine&, Arguments);

/// A function or class that templates find among the globals.
class Builtin : public Object {
 public:
  Builtin(std::string name, std::string type, Callback callback) : name_(std::move(name)), type_(std::move(type)), callback_(callback) {}
  std::string type_name() const override { return type_; }
  bool callable() const override { return true; }
  std::string repr(Machine&) const override { return "<" + type_ + " " + name_ + ">"; }
  Value call(Machine& machine, Arguments arguments) override { return callback_(machine, std::move(arguments)); }
  std::optional<Value> attribute(std::string_view name) override;

 private:
  std::string name_;
  std::string type_;
  Callback callback_;
};

class Cycler : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)), depth_(Value::tuple(items_).depth()) {}
  std::string type_name() const override { return "Cycler"; }
  std::string described() const override { return "jinja2.utils.Cycler object"; }
  std::uint32_t depth() const override { return depth_; }
  std::optional<Value> attribute(std::string_view name) override;

 private:
  friend class CyclerMethod;
  std::vector<Value> items_;
  std::uint32_t depth_;
  std::size_t at_ = 0;
};

class CyclerMethod : public Object {
 public:
  CyclerMethod(std::shared_ptr<Object> cycler, bool reset) : cycler_(std::move(cycler)), reset_(reset) {}
  std::string type_name() const override { return "method"; }
  bool callable() const override { return true; }
  Value call(Machine&, Arguments arguments) override {
    const Bound none(reset_ ? "Cycler.reset" : "Cycler.next", {}, 0, std::move(arguments));
    auto& cycler = static_cast<Cycler&>(*cycler_);
    if (reset_) {
      cycler.at_ = 0;
      return Value();
    }
    const Value value = cycler.items_[cycler.at_];
    cycler.at_ = (cycler.at_ + 1) % cycler.items_.size();
    return value;
  }

 private:
  std::shared_ptr<Object> cycler_;
  bool reset_;
};

std::optional<Value> Cycler::attribute(std::string_view name) {
  if (name == "current") return items_[at_];
  if (name == "pos") return Value(static_cast<std::int64_t>(at_));
  if (name == "items") return Value::tuple(items_);
  if (name == "next" || name == "reset") return make_object<CyclerMethod>(shared_from_this(), name == "reset");
  return std::nullopt;
}

class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {
    if (separator_.depth() >= kMostNested) limit_error(fmt::format("values nested deeper than {}", kMostNested));
  }
  std::string type_name() const override { return "Joiner"; }
  std::string described() const override { return "jinja2.utils.Joiner object"; }
  bool callable() const override { return true; }
  std::uint32_t depth() const override { return separator_.depth() + 1; }
  Value call(Machine&, Arguments arguments) override {
    const Bound none("Joiner.__call__", {}, 0, std::move(arguments));
    if (used_) return separator_;
    used_ = true;
    return Value("");
  }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "sep") return separator_;
    if (name == "used") return Value(used_);
    return std::nullopt;
  }

 private:
  Value separator_;
  bool used_ = false;
};

Value call_range(Machine&, Arguments arguments) {
  if (!arguments.keywords.empty()) type_error("range() takes no keyword arguments");
  const std::size_t count = arguments.positional.size();
  if (count == 0) type_error("range expected at least 1 argument, got 0");
  if (count > 3) type_error(fmt::format("range expected at most 3 arguments, got {}", count));
  Int parts[3] = {0, 0, 1};
  for (std::size_t i = 0; i < count; ++i) {
    const Int value = to_integer(arguments.positional[i]);
    parts[count == 1 ? 1 : i] = value;
  }
  if (parts[2] == 0) value_error("range() arg 3 must not be zero");
  auto range = std::make_shared<Range>(parts[0], parts[1], parts[2]);
  if (range->size() > kLongestRange) {
    throw JinjaError("OverflowError", fmt::format("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kLongestRange));
  }
  return Value(std::static_pointer_cast<Object>(std::move(range)));
}

/// dict(mapping or pairs, **keywords)
Dict build_dict(Machine& machine, Arguments arguments) {
  if (arguments.positional.size() > 1) type_error(fmt::format("dict expected at most 1 argument, got {}", arguments.positional.size()));
  Dict out;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (const Dict* dict = source.if_dict()) {
      machine.charge(dict->size() * 2 * sizeof(Value));
      out = *dict;
    } else {
      std::int64_t index = 0;
      for (const Value& pair : collect(machine, source)) {
        if (pair.if_int() || pair.if_float() != nullptr || pair.is_none()) {
          type_error(fmt::format("cannot convert dictionary update sequence element #{} to a sequence", index));
        }
        std::vector<Value> two = collect(machine, pair);
        if (two.size() != 2) {
          value_error(fmt::format("dictionary update sequence element #{} has length {}; 2 is required", index, two.size()));
        }
        out.set(std::move(two[0]), std::move(two[1]));
        ++index;
      }
    }
  }
  for (auto& [name, value] : arguments.keywords) out.set(Value(name), std::move(value));
  return out;
}

Value call_dict(Machine& machine, Arguments arguments) { return Value::dict(build_dict(machine, std::move(arguments))); }

Value call_fromkeys(Machine& machine, Arguments arguments) {
  const Bound bound("fromkeys", {"iterable", "value"}, 1, std::move(arguments));
  Dict out;
  for (Value& key : collect(machine, bound[0])) out.set(std::move(key), bound.or_else(1, Value()));
  return Value::dict(std::move(out));
}

Value call_namespace(Machine& machine, Arguments arguments) {
  Dict attributes = build_dict(machine, std::move(arguments));
  for (const auto& [name, value] : attributes.entries()) {
    if (const Text* text = name.if_text()) Namespace::check_name(text->bytes);
  }
  auto space = std::make_shared<Namespace>();
  space->attributes = std::move(attributes);
  machine.charge(256);
  machine.clean_up.push_back([space] { space->attributes = Dict(); });
  return Value(std::static_pointer_cast<Object>(std::move(space)));
}

Value call_cycler(Machine&, Arguments arguments) {
  if (!arguments.keywords.empty()) type_error("Cycler.__init__() got an unexpected keyword argument '" + arguments.keywords[0].first + "'");
  if (arguments.positional.empty()) throw JinjaError("RuntimeError", "at least one item has to be provided");
  return make_object<Cycler>(std::move(arguments.positional));
}

Value call_joiner(Machine&, Arguments arguments) {
  const Bound bound("Joiner.__init__", {"sep"}, 0, std::move(arguments));
  return make_object<Joiner>(bound.or_else(0, Value(", ")));
}

Value call_raise(Machine& machine, Arguments arguments) {
  const Bound bound("raise_exception", {"message"}, 1, std::move(arguments));
  throw JinjaError("TemplateError", bound[0].is_none() ? "None" : str(machine, bound[0]));
}

Value call_strftime(Machine& machine, Arguments arguments) {
  const Bound bound("strftime_now", {"format"}, 1, std::move(arguments));
  const Text* format = bound[0].if_text();
  if (format == nullptr) type_error("strftime() argument 1 must be str, not " + bound[0].type_name());
  machine.charge(format->bytes.size() * 32);
  return Value(strftime(machine.now(), format->bytes));
}

Value call_lipsum(Machine&, Arguments) {
  throw JinjaError("SecurityError", "lipsum makes random text, which a chat template cannot need");
}

std::optional<Value> Builtin::attribute(std::string_view name) {
  if (name_ == "dict" && name == "fromkeys") return make_object<Builtin>("fromkeys", "method", call_fromkeys);
  return std::nullopt;
}

}  // namespace

std::string Namespace::repr(Machine& machine) const {
  if (in_repr_) return "<Namespace {...}>";
  const Machine::Depth depth(machine);
  in_repr_ = true;
  struct Leave {
    bool& flag;
    ~Leave() { flag = false; }
  } leave{in_repr_};
  Dict copy = attributes;
  return "<Namespace " + jinja::repr(machine, Value::dict(std::move(copy))) + ">";
}

std::optional<Value> Namespace::attribute(std::string_view name) {
  const Value* value = attributes.find(name);
  return value == nullptr ? std::nullopt : std::optional<Value>(*value);
}

void Namespace::check_name(std::string_view name) {
  if (!name.starts_with('_')) return;
  throw JinjaError("SecurityError", fmt::format("Chat templates cannot store underscore-prefixed attributes on a namespace, but got {}. "
                                                "Please rename the attribute.",
                                                repr_text(name)));
}

void Namespace::set(const std::string& name, Value value) {
  check_name(name);
  attributes.set(Value(name), std::move(value));
}

Dict make_globals() {
  Dict out;
  const auto add = [&](const char* name, const char* type, Callback callback) { out.set(Value(name), make_object<Builtin>(name, type, callback)); };
  add("range", "function", call_range);
  add("dict", "TemplateDict", call_dict);
  add("lipsum", "function", call_lipsum);
  add("cycler", "type", call_cycler);
  add("joiner", "type", call_joiner);
  add("namespace", "type", call_namespace);
  add("raise_exception", "function", call_raise);
  add("strftime_now", "function", call_strftime);
  return out;
}

}  // namespace bigmodel::tokenizer::jinja
