// SPDX-License-Identifier: Apache-2.0
// Expressions of a running template.
#include <fmt/format.h>

#include "bigmodel/tokenizer/jinja_filters.h"
#include "bigmodel/tokenizer/jinja_interpreter.h"
#include "bigmodel/tokenizer/jinja_operators.h"

namespace bigmodel::tokenizer::jinja {

Value Interpreter::eval(const Expr& e, const FramePtr& frame) {
  if (e.kind == ExprKind::constant) return e.constant;
  if (e.kind == ExprKind::name) {
    machine_.step();
    const Value& value = slot(e.ref, *frame);
    return value.is_missing() ? Value::undefined_name(e.name) : value;
  }
  const Level level(*this);
  try {
    machine_.step();
    return eval_node(e, frame);
  } catch (JinjaError& error) {
    if (error.place.line == 0) error.place = e.place;
    throw;
  }
}

Value Interpreter::eval_node(const Expr& e, const FramePtr& frame) {
  switch (e.kind) {
    case ExprKind::list:
    case ExprKind::tuple: return eval_items(e, frame);
    case ExprKind::dict: return eval_dict(e, frame);
    case ExprKind::getattr: return get_attribute(machine_, eval(*e.items[0], frame), e.name);
    case ExprKind::getitem: return eval_getitem(e, frame);
    case ExprKind::slice: type_error("a slice is not a value");
    case ExprKind::call: return eval_call(e, frame, nullptr);
    case ExprKind::filter: return eval_filter(e, frame);
    case ExprKind::test: return eval_test(e, frame);
    case ExprKind::negate:
    case ExprKind::plus: return negate(eval(*e.items[0], frame), e.kind == ExprKind::negate);
    case ExprKind::not_: return Value(!eval(*e.items[0], frame).truthy());
    case ExprKind::and_: {
      Value left = eval(*e.items[0], frame);
      return left.truthy() ? eval(*e.items[1], frame) : left;
    }
    case ExprKind::or_: {
      Value left = eval(*e.items[0], frame);
      return left.truthy() ? left : eval(*e.items[1], frame);
    }
    case ExprKind::add:
    case ExprKind::sub:
    case ExprKind::mul:
    case ExprKind::div:
    case ExprKind::floordiv:
    case ExprKind::mod:
    case ExprKind::pow: return eval_binary(e, frame);
    case ExprKind::concat: return eval_concat(e, frame);
    case ExprKind::compare: return eval_compare(e, frame);
    case ExprKind::conditional: return eval_conditional(e, frame);
    case ExprKind::constant:
    case ExprKind::name:
    case ExprKind::ns_ref: break;
  }
  return Value();
}

Value Interpreter::eval_items(const Expr& e, const FramePtr& frame) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (const ExprPtr& item : e.items) items.push_back(eval(*item, frame));
  return e.kind == ExprKind::list ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

Value Interpreter::eval_dict(const Expr& e, const FramePtr& frame) {
  Dict out;
  for (std::size_t i = 0; i + 1 < e.items.size(); i += 2) {
    Value key = eval(*e.items[i], frame);
    out.set(std::move(key), eval(*e.items[i + 1], frame));
  }
  return Value::dict(std::move(out));
}

Value Interpreter::eval_getitem(const Expr& e, const FramePtr& frame) {
  const Value object = eval(*e.items[0], frame);
  const Expr& key = *e.items[1];
  if (key.kind != ExprKind::slice) return get_item(machine_, object, eval(key, frame));
  const auto part = [&](std::size_t at) { return key.items[at] == nullptr ? Value() : eval(*key.items[at], frame); };
  const Value begin = part(0);
  const Value end = part(1);
  return slice(machine_, object, begin, end, part(2));
}

Value Interpreter::eval_binary(const Expr& e, const FramePtr& frame) {
  const Value left = eval(*e.items[0], frame);
  return arithmetic(machine_, e.kind, left, eval(*e.items[1], frame));
}

Value Interpreter::eval_conditional(const Expr& e, const FramePtr& frame) {
  if (eval(*e.items[0], frame).truthy()) return eval(*e.items[1], frame);
  if (e.items[2] != nullptr) return eval(*e.items[2], frame);
  return Value::undefined(fmt::format("the inline if-expression on line {} evaluated to false and no else section was defined.", e.place.line));
}

/// `a < b < c`: each operand once, and none after the first pair that does not hold.
Value Interpreter::eval_compare(const Expr& e, const FramePtr& frame) {
  Value left = eval(*e.items[0], frame);
  for (std::size_t i = 0; i < e.compares.size(); ++i) {
    Value right = eval(*e.items[i + 1], frame);
    if (!compare(machine_, e.compares[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::eval_concat(const Expr& e, const FramePtr& frame) {
  std::vector<Value> parts;
  parts.reserve(e.items.size());
  bool markup = false;
  for (const ExprPtr& item : e.items) {
    parts.push_back(eval(*item, frame));
    const Text* text = parts.back().if_text();
    markup = markup || (machine_.autoescape && text != nullptr && text->markup);
  }
  std::string out;
  for (const Value& part : parts) {
    out += markup ? escape(machine_, part) : str(machine_, part);
    machine_.within(out.size());
  }
  machine_.charge(out.size());
  return Value(std::move(out), markup);
}

void Interpreter::eval_arguments(const Expr& e, const FramePtr& frame, Arguments& arguments) {
  for (std::size_t i = 1; i < e.items.size(); ++i) arguments.positional.push_back(eval(*e.items[i], frame));
  for (const auto& [name, value] : e.keywords) arguments.keywords.emplace_back(name, eval(*value, frame));
  if (e.dynamic_args != nullptr) {
    std::vector<Value> more = collect(machine_, eval(*e.dynamic_args, frame));
    for (Value& value : more) arguments.positional.push_back(std::move(value));
  }
  if (e.dynamic_keywords == nullptr) return;
  const Value mapping = eval(*e.dynamic_keywords, frame);
  if (const UndefinedInfo* info = mapping.if_undefined()) fail_undefined(*info);
  const Dict* dict = mapping.if_dict();
  if (dict == nullptr) type_error("argument after ** must be a mapping, not " + mapping.type_name());
  machine_.charge(dict->size() * 2 * sizeof(Value));
  for (const auto& [key, value] : dict->entries()) {
    if (key.if_text() == nullptr) type_error("keywords must be strings");
    arguments.keywords.emplace_back(key.if_text()->bytes, value);
  }
}

Value Interpreter::eval_call(const Expr& e, const FramePtr& frame, const Value* caller) {
  const Value callee = eval(*e.items[0], frame);
  Arguments arguments;
  eval_arguments(e, frame, arguments);
  if (caller != nullptr) arguments.keywords.emplace_back("caller", *caller);
  return call(machine_, callee, std::move(arguments));
}

Value Interpreter::eval_filter(const Expr& e, const FramePtr& frame) {
  Arguments arguments;
  arguments.positional.push_back(e.items[0] == nullptr ? *piped_ : eval(*e.items[0], frame));
  eval_arguments(e, frame, arguments);
  if (!e.hard && !is_filter(e.name)) throw JinjaError("TemplateRuntimeError", "No filter named " + repr_text(e.name) + " found.");
  return call_filter(machine_, e.name, std::move(arguments));
}

Value Interpreter::eval_test(const Expr& e, const FramePtr& frame) {
  Arguments arguments;
  arguments.positional.push_back(eval(*e.items[0], frame));
  eval_arguments(e, frame, arguments);
  if (!e.hard && !is_test(e.name)) throw JinjaError("TemplateRuntimeError", "No test named " + repr_text(e.name) + " found.");
  return Value(call_test(machine_, e.name, std::move(arguments)));
}

}  // namespace bigmodel::tokenizer::jinja
