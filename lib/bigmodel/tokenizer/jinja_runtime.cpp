// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bigmodel/tokenizer/jinja_arguments.h"
#include "bigmodel/tokenizer/jinja_operators.h"

namespace bigmodel::tokenizer::jinja {
namespace {

/// `loop.cycle` and `loop.changed`.
class LoopMethod : public Object {
 public:
  LoopMethod(std::shared_ptr<Object> loop, bool cycles) : loop_(std::move(loop)), cycles_(cycles) {}
  std::string type_name() const override { return "method"; }
  bool callable() const override { return true; }
  std::uint32_t depth() const override { return loop_->depth() + 1; }
  Value call(Machine&, Arguments arguments) override {
    if (!arguments.keywords.empty()) {
      type_error(fmt::format("LoopContext.{}() got an unexpected keyword argument {}", cycles_ ? "cycle" : "changed",
                             repr_text(arguments.keywords[0].first)));
    }
    auto& loop = static_cast<LoopContext&>(*loop_);
    return cycles_ ? loop.cycle(arguments) : loop.changed(std::move(arguments));
  }

 private:
  std::shared_ptr<Object> loop_;
  bool cycles_;
};

class LoopIterator : public Iterator {
 public:
  explicit LoopIterator(std::shared_ptr<Object> loop) : loop_(std::move(loop)) {}
  std::optional<Value> next(Machine&) override {
    std::optional<Value> item = static_cast<LoopContext&>(*loop_).next();
    if (!item) return std::nullopt;
    return Value::tuple({std::move(*item), Value(loop_)});
  }

 private:
  std::shared_ptr<Object> loop_;
};

class BlockReference : public Object {
 public:
  BlockReference(Interpreter& interpreter, const Function& block, std::shared_ptr<Context> context)
      : interpreter_(interpreter), block_(block), context_(std::move(context)) {}
  std::string type_name() const override { return "BlockReference"; }
  std::string described() const override { return "jinja2.runtime.BlockReference object"; }
  bool callable() const override { return true; }
  Value call(Machine&, Arguments arguments) override {
    const Bound none("BlockReference.__call__", {}, 0, std::move(arguments));
    return interpreter_.call_block(block_, context_);
  }

 private:
  Interpreter& interpreter_;
  const Function& block_;
  std::shared_ptr<Context> context_;
};

}  // namespace

std::string Macro::repr(Machine&) const {
  return function_.name.empty() ? "<Macro anonymous>" : "<Macro " + repr_text(function_.name) + ">";
}

Value Macro::call(Machine&, Arguments arguments) { return interpreter_.call_macro(function_, outer_, std::move(arguments)); }

std::optional<Value> Macro::attribute(std::string_view name) {
  if (name == "name") return function_.name.empty() ? Value() : Value(function_.name);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const std::string& parameter : function_.parameters) names.emplace_back(parameter);
    return Value::tuple(std::move(names));
  }
  if (name == "catch_kwargs") return Value(function_.uses_keywords);
  if (name == "catch_varargs") return Value(function_.uses_varargs);
  if (name == "caller") return Value(function_.uses_caller);
  if (name == "explicit_caller") return Value(std::ranges::find(function_.parameters, "caller") != function_.parameters.end());
  return std::nullopt;
}

LoopContext::LoopContext(Interpreter& interpreter, Machine& machine, Value iterable, std::int64_t depth0, const Stmt* recursive, FramePtr frame)
    : interpreter_(interpreter),
      machine_(machine),
      iterable_(std::move(iterable)),
      it_(jinja::iterate(iterable_)),
      depth0_(depth0),
      recursive_(recursive),
      frame_(std::move(frame)) {
  if (iterable_.depth() >= kMostNested) limit_error(fmt::format("values nested deeper than {}", kMostNested));
}

const std::optional<Value>& LoopContext::peek() {
  if (!peeked_) {
    peeked_ = true;
    after_ = it_->next(machine_);
  }
  return after_;
}

std::optional<Value> LoopContext::next() {
  std::optional<Value> item;
  if (peeked_ && after_) {
    item = std::move(after_);
    after_.reset();
    peeked_ = false;
  } else if (!peeked_) {
    item = it_->next(machine_);
  }
  if (!item) return std::nullopt;
  ++index0_;
  before_ = std::move(current_);
  current_ = *item;
  return item;
}

std::optional<std::int64_t> LoopContext::length(Machine& machine) {
  if (length_) return length_;
  Object* object = iterable_.if_object();
  const bool sized = object == nullptr || object->length(machine).has_value();
  if (sized) {
    length_ = length_of(machine, iterable_);
  } else {
    std::vector<Value> rest;
    while (std::optional<Value> item = it_->next(machine)) rest.push_back(std::move(*item));
    machine.charge(rest.size() * sizeof(Value));
    length_ = static_cast<std::int64_t>(rest.size()) + index0_ + 1 + (peeked_ && after_ ? 1 : 0);
    it_ = jinja::iterate(Value::list(std::move(rest)));
  }
  return length_;
}

std::string LoopContext::repr(Machine& machine) const {
  return fmt::format("<LoopContext {}/{}>", index0_ + 1, *const_cast<LoopContext*>(this)->length(machine));
}

std::unique_ptr<Iterator> LoopContext::iterate() { return std::make_unique<LoopIterator>(shared_from_this()); }

Value LoopContext::call(Machine&, Arguments arguments) {
  const Bound bound("LoopContext.__call__", {"iterable"}, 1, std::move(arguments));
  if (recursive_ == nullptr) type_error("The loop must have the 'recursive' marker to be called recursively.");
  return interpreter_.call_loop(*recursive_, frame_, bound[0], depth0_ + 1);
}

Value LoopContext::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) type_error("no items for cycling given");
  return arguments.positional[static_cast<std::size_t>(std::max<std::int64_t>(index0_, 0)) % arguments.positional.size()];
}

Value LoopContext::changed(Arguments arguments) {
  Value value = Value::tuple(std::move(arguments.positional));
  machine_.step(value.weight());
  if (!last_changed_.is_missing() && equal(last_changed_, value)) return Value(false);
  last_changed_ = std::move(value);
  return Value(true);
}

std::optional<Value> LoopContext::attribute(std::string_view name) {
  constexpr std::array<std::string_view, 11> kPrivate{"_iterable", "_iterator", "_undefined",          "_recurse",   "_length",     "_after",
                                                      "_current",  "_before",   "_last_changed_value", "_peek_next", "_to_iterator"};
  if (name == "index0") return Value(index0_);
  if (name == "index") return Value(index0_ + 1);
  if (name == "first") return Value(index0_ == 0);
  if (name == "last") return Value(!peek().has_value());
  if (name == "length") return Value(*length(machine_));
  if (name == "revindex0") return Value(*length(machine_) - index0_ - 1);
  if (name == "revindex") return Value(*length(machine_) - index0_);
  if (name == "depth0") return Value(depth0_);
  if (name == "depth") return Value(depth0_ + 1);
  if (name == "previtem") return index0_ == 0 ? Value::undefined("there is no previous item") : before_;
  if (name == "nextitem") return peek().has_value() ? *peek() : Value::undefined("there is no next item");
  if (name == "cycle" || name == "changed") {
    return Value(std::static_pointer_cast<Object>(std::make_shared<LoopMethod>(shared_from_this(), name == "cycle")));
  }
  if (std::ranges::find(kPrivate, name) != kPrivate.end()) {
    return Value::undefined(fmt::format("access to attribute {} of 'LoopContext' object is unsafe.", repr_text(name)), true);
  }
  return std::nullopt;
}

std::optional<Value> TemplateReference::item(Machine&, const Value& key) {
  const Text* name = key.if_text();
  const Function* block = name == nullptr ? nullptr : interpreter_.block(name->bytes);
  if (block == nullptr) return std::nullopt;
  return Value(std::static_pointer_cast<Object>(std::make_shared<BlockReference>(interpreter_, *block, context_)));
}

}  // namespace bigmodel::tokenizer::jinja
