// SPDX-License-Identifier: Apache-2.0
// Statements and variables; expressions are in jinja_expressions.cpp.
#include "bigmodel/tokenizer/jinja_interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/tokenizer/jinja_objects.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_runtime.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

template <typename T, typename... Args>
Value make_object(Args&&... args) {
  return Value(std::static_pointer_cast<Object>(std::make_shared<T>(std::forward<Args>(args)...)));
}

[[noreturn]] void not_a_namespace() {
  throw JinjaError("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
}

}  // namespace

const Value* Context::find(const std::string& name) const {
  const Value* value = vars.find(std::string_view(name));
  return value != nullptr ? value : given.find(std::string_view(name));
}

void Output::add(Machine& machine, std::string_view more) {
  text_ += more;
  const std::uint64_t most = machine.limits().text_bytes;
  if (text_.size() > most) limit_error(fmt::format("the template writes more than {} bytes", most));
  machine.step(more.size() / 64);
}

std::int64_t Output::code_points() {
  counted_ += jinja::code_points(std::string_view(text_).substr(counted_bytes_));
  counted_bytes_ = text_.size();
  return counted_;
}

Interpreter::Interpreter(Machine& machine, const TemplateTree& tree, Dict given)
    : machine_(machine), tree_(tree), context_(std::make_shared<Context>()) {
  context_->given = std::move(given);
}

Interpreter::~Interpreter() {
  for (const auto& clean : machine_.clean_up) clean();
  context_->vars = Dict();
}

std::string Interpreter::run() {
  run_block_body(tree_.root, context_, output_);
  return output_.take();
}

const Function* Interpreter::block(std::string_view name) const {
  const auto it = std::ranges::find_if(tree_.blocks, [&](const auto& row) { return row.first == name; });
  return it == tree_.blocks.end() ? nullptr : it->second.get();
}

// --- variables

FramePtr Interpreter::make_frame(const Function& function, FramePtr up, std::shared_ptr<Context> context) {
  auto frame = std::make_shared<Frame>();
  machine_.step(1 + function.slots / 4);
  frame->slots.assign(function.slots, Value::missing());
  frame->up = std::move(up);
  frame->context = std::move(context);
  return frame;
}

/// An object in one of the frame's own variables holds the frame: without this neither would ever be freed.
void Interpreter::capture(const FramePtr& frame) {
  if (frame->captured) return;
  frame->captured = true;
  machine_.step(64);
  machine_.clean_up.push_back([frame] { frame->slots.clear(); });
}

void Interpreter::enter(const ScopeLoads& loads, Frame& frame) {
  for (const SlotLoad& load : loads) {
    switch (load.kind) {
      case SlotLoad::Kind::parameter: break;
      case SlotLoad::Kind::resolve: {
        const Value* value = frame.context->find(load.name);
        frame.slots[load.slot] = value == nullptr ? Value::missing() : *value;
        break;
      }
      case SlotLoad::Kind::alias: {
        Value value = slot(load.outer, frame);
        frame.slots[load.slot] = std::move(value);
        break;
      }
      case SlotLoad::Kind::unset: frame.slots[load.slot] = Value::missing(); break;
    }
  }
}

void Interpreter::leave(const ScopeLoads& loads, Frame& frame) {
  for (const SlotLoad& load : loads) frame.slots[load.slot] = Value::missing();
}

Value& Interpreter::slot(const SlotRef& ref, Frame& frame) {
  Frame* at = &frame;
  for (std::uint32_t i = 0; i < ref.up; ++i) at = at->up.get();
  return at->slots[ref.slot];
}

void Interpreter::assign(const Expr& target, Value value, Frame& frame) {
  if (target.kind == ExprKind::name) {
    slot(target.ref, frame) = std::move(value);
    return;
  }
  if (target.kind == ExprKind::ns_ref) {
    auto* space = slot(target.ref, frame).if_object_of<Namespace>();
    if (space == nullptr) type_error("'" + slot(target.ref, frame).type_name() + "' object does not support item assignment");
    space->set(target.attribute, std::move(value));
    return;
  }
  const std::size_t want = target.items.size();
  std::vector<Value> parts;
  Object* object = value.if_object();
  const bool iterable = value.if_text() != nullptr || value.if_sequence() != nullptr || value.if_dict() != nullptr || value.is_undefined() ||
                        object != nullptr;
  std::unique_ptr<Iterator> it = object != nullptr ? object->iterate() : iterable ? iterate(value) : nullptr;
  if (it == nullptr) type_error("cannot unpack non-iterable " + value.type_name() + " object");
  while (std::optional<Value> part = it->next(machine_)) {
    if (parts.size() == want) value_error(fmt::format("too many values to unpack (expected {})", want));
    parts.push_back(std::move(*part));
  }
  if (parts.size() < want) value_error(fmt::format("not enough values to unpack (expected {}, got {})", want, parts.size()));
  for (std::size_t i = 0; i < want; ++i) assign(*target.items[i], std::move(parts[i]), frame);
}

/// Before anything is computed, as Jinja does.
void Interpreter::check_namespaces(const Expr& target, Frame& frame) {
  if (target.kind == ExprKind::ns_ref && slot(target.ref, frame).if_object_of<Namespace>() == nullptr) not_a_namespace();
  for (const ExprPtr& item : target.items) check_namespaces(*item, frame);
}

/// What a template sets at its top level its blocks see too.
void Interpreter::export_names(const Expr& target, Frame& frame) {
  if (target.kind == ExprKind::name) frame.context->vars.set(Value(target.name), slot(target.ref, frame));
  for (const ExprPtr& item : target.items) export_names(*item, frame);
}

Value Interpreter::target_value(const Expr& target, Frame& frame) {
  if (target.kind != ExprKind::tuple) return slot(target.ref, frame);
  std::vector<Value> items;
  for (const ExprPtr& item : target.items) items.push_back(target_value(*item, frame));
  return Value::tuple(std::move(items));
}

// --- statements

void Interpreter::write(const Value& value, Output& out) {
  if (const Text* text = value.if_text(); text != nullptr && (text->markup || !machine_.autoescape)) {
    out.add(machine_, text->bytes);
  } else {
    out.add(machine_, machine_.autoescape ? escape(machine_, value) : str(machine_, value));
  }
}

Interpreter::Flow Interpreter::run_body(const Body& body, const FramePtr& frame, Output& out) {
  for (const StmtPtr& s : body) {
    const Flow flow = run_statement(*s, frame, out);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run_statement(const Stmt& s, const FramePtr& frame, Output& out) {
  const Level level(*this);
  try {
    machine_.step();
    switch (s.kind) {
      case StmtKind::output: run_output(s, frame, out); break;
      case StmtKind::if_: return run_branches(s, frame, out);
      case StmtKind::for_:
        if (s.recursive) {
          capture(frame);
          write(call_loop(s, frame, eval(*s.value, frame), 0), out);
        } else {
          run_for(s, frame, eval(*s.value, frame), 0, out);
        }
        break;
      case StmtKind::set: run_set(s, frame); break;
      case StmtKind::set_block: run_set_block(s, frame); break;
      case StmtKind::macro: run_macro(s, frame); break;
      case StmtKind::call_block: run_call_block(s, frame, out); break;
      case StmtKind::filter_block: run_filter_block(s, frame, out); break;
      case StmtKind::with: return run_with(s, frame, out);
      case StmtKind::block: run_block(s, frame, out); break;
      case StmtKind::autoescape: return run_autoescape(s, frame, out);
      case StmtKind::generation: run_generation(s, frame, out); break;
      case StmtKind::load_template:
        eval(*s.value, frame);
        type_error("no loader for this environment specified");
      case StmtKind::break_: return Flow::break_;
      case StmtKind::continue_: return Flow::continue_;
    }
    return Flow::next;
  } catch (JinjaError& error) {
    if (error.place.line == 0) error.place = s.place;
    throw;
  }
}

void Interpreter::run_output(const Stmt& s, const FramePtr& frame, Output& out) {
  for (const OutputPiece& piece : s.pieces) {
    if (piece.expr == nullptr) {
      out.add(machine_, piece.data);
    } else {
      write(eval(*piece.expr, frame), out);
    }
  }
}

Interpreter::Flow Interpreter::run_branches(const Stmt& s, const FramePtr& frame, Output& out) {
  for (const auto& [test, body] : s.branches) {
    if (eval(*test, frame).truthy()) return run_body(body, frame, out);
  }
  return run_body(s.else_body, frame, out);
}

void Interpreter::run_for(const Stmt& s, const FramePtr& frame, Value iterable, std::int64_t depth, Output& out) {
  if (s.test != nullptr) {
    if (s.extended) capture(frame);
    auto it = std::make_shared<std::unique_ptr<Iterator>>();
    const std::uint32_t nested = iterable.depth();
    const auto next = [this, it, &s, frame, source = std::move(iterable)](Machine& machine) -> std::optional<Value> {
      const Level level(*this);
      if (*it == nullptr) {
        *it = iterate(source);
        enter(s.test_loads, *frame);
      }
      while (std::optional<Value> item = (*it)->next(machine)) {
        assign(*s.test_target, std::move(*item), *frame);
        if (eval(*s.test, frame).truthy()) return target_value(*s.test_target, *frame);
      }
      return std::nullopt;
    };
    iterable = make_generator(next, nested);
  }
  std::shared_ptr<LoopContext> loop;
  std::unique_ptr<Iterator> it;
  if (s.extended) {
    loop = std::make_shared<LoopContext>(*this, machine_, std::move(iterable), depth, s.recursive ? &s : nullptr, s.recursive ? frame->up : nullptr);
    frame->slots[s.loop_slot] = Value(std::static_pointer_cast<Object>(loop));
  } else {
    it = iterate(iterable);
  }
  bool ran_through = false;
  while (std::optional<Value> item = loop != nullptr ? loop->next() : it->next(machine_)) {
    assign(*s.target, std::move(*item), *frame);
    if (loop != nullptr) frame->slots[s.loop_slot] = Value(std::static_pointer_cast<Object>(loop));
    enter(s.loads, *frame);
    const Flow flow = run_body(s.body, frame, out);
    if (flow == Flow::break_) break;
    // As in Jinja: an iteration that `continue` cuts short does not count, so that `else` may still run.
    if (flow == Flow::next) ran_through = true;
  }
  leave(s.loads, *frame);
  if (ran_through || s.else_body.empty()) return;
  enter(s.else_loads, *frame);
  run_body(s.else_body, frame, out);
  leave(s.else_loads, *frame);
}

Value Interpreter::call_loop(const Stmt& loop, const FramePtr& frame, Value iterable, std::int64_t depth) {
  const Machine::Depth bounded(machine_);
  const Level level(*this);
  Output out;
  const FramePtr own = make_frame(*loop.function, frame, frame->context);
  run_for(loop, own, std::move(iterable), depth, out);
  return Value(out.take(), machine_.autoescape);
}

void Interpreter::run_set(const Stmt& s, const FramePtr& frame) {
  check_namespaces(*s.target, *frame);
  assign(*s.target, eval(*s.value, frame), *frame);
  if (s.toplevel) export_names(*s.target, *frame);
}

/// The body's text, through the statement's filter if it has one.
Value Interpreter::filtered(const Stmt& s, const FramePtr& frame) {
  Output inner;
  enter(s.loads, *frame);
  run_body(s.body, frame, inner);
  const Value text(inner.take(), machine_.autoescape);
  if (s.value == nullptr) return text;
  const Value* outer = std::exchange(piped_, &text);
  struct Restore {
    const Value*& piped;
    const Value* outer;
    ~Restore() { piped = outer; }
  } restore{piped_, outer};
  return eval(*s.value, frame);
}

void Interpreter::run_set_block(const Stmt& s, const FramePtr& frame) {
  Value value = filtered(s, frame);
  if (machine_.autoescape) {
    if (const Text* text = value.if_text(); text == nullptr || !text->markup) value = Value(str(machine_, value), true);
  }
  assign(*s.target, std::move(value), *frame);
  if (s.toplevel) export_names(*s.target, *frame);
  leave(s.loads, *frame);
}

void Interpreter::run_filter_block(const Stmt& s, const FramePtr& frame, Output& out) {
  write(filtered(s, frame), out);
  leave(s.loads, *frame);
}

Interpreter::Flow Interpreter::run_with(const Stmt& s, const FramePtr& frame, Output& out) {
  enter(s.loads, *frame);
  for (std::size_t i = 0; i < s.targets.size(); ++i) assign(*s.targets[i], eval(*s.values[i], frame), *frame);
  const Flow flow = run_body(s.body, frame, out);
  leave(s.loads, *frame);
  return flow;
}

Interpreter::Flow Interpreter::run_autoescape(const Stmt& s, const FramePtr& frame, Output& out) {
  enter(s.loads, *frame);
  const bool outer = std::exchange(machine_.autoescape, eval(*s.test, frame).truthy());
  const Flow flow = run_body(s.body, frame, out);
  machine_.autoescape = outer;
  leave(s.loads, *frame);
  return flow;
}

void Interpreter::run_macro(const Stmt& s, const FramePtr& frame) {
  capture(frame);
  const Value macro = make_object<Macro>(*this, *s.function, frame);
  slot(s.ref, *frame) = macro;
  if (s.toplevel) frame->context->vars.set(Value(s.name), macro);
}

void Interpreter::run_call_block(const Stmt& s, const FramePtr& frame, Output& out) {
  capture(frame);
  const Value caller = make_object<Macro>(*this, *s.function, frame);
  write(eval_call(*s.value, frame, &caller), out);
}

void Interpreter::run_generation(const Stmt& s, const FramePtr& frame, Output& out) {
  const Value text = call_macro(*s.function, frame, {});
  const std::int64_t begin = output_.code_points();
  generation_.emplace_back(begin, begin + text.if_text()->length);
  write(text, out);
}

void Interpreter::run_block(const Stmt& s, const FramePtr& frame, Output& out) {
  if (s.required) throw JinjaError("TemplateRuntimeError", "Required block " + repr_text(s.name) + " not found");
  std::shared_ptr<Context> context = frame->context;
  if (s.scoped) {
    context = std::make_shared<Context>();
    context->given = frame->context->given;
    for (const auto& [name, value] : frame->context->vars.entries()) context->given.set(name, value);
    machine_.charge(context->given.size() * 4 * sizeof(Value));
    for (std::size_t i = 0; i < s.names.size(); ++i) {
      const Value& value = slot(s.name_refs[i], *frame);
      if (!value.is_missing()) context->given.set(Value(s.names[i]), value);
    }
  }
  run_block_body(*block(s.name), context, out);
}

void Interpreter::run_block_body(const Function& function, const std::shared_ptr<Context>& context, Output& out) {
  const Machine::Depth bounded(machine_);
  const Level level(*this);
  const FramePtr frame = make_frame(function, nullptr, context);
  if (function.uses_self) frame->slots[function.self_slot] = make_object<TemplateReference>(*this, context);
  if (function.uses_super) frame->slots[function.super_slot] = Value::undefined("there is no parent block.");
  enter(function.loads, *frame);
  run_body(function.body, frame, out);
}

Value Interpreter::call_block(const Function& function, const std::shared_ptr<Context>& context) {
  Output out;
  run_block_body(function, context, out);
  return Value(out.take(), machine_.autoescape);
}

Value Interpreter::call_macro(const Function& function, const FramePtr& outer, Arguments arguments) {
  const Machine::Depth bounded(machine_);
  const Level level(*this);
  const FramePtr frame = make_frame(function, outer, outer->context);
  const std::size_t count = function.parameters.size();
  const std::size_t positional = std::min(arguments.positional.size(), count);
  auto& keywords = arguments.keywords;
  const auto pop = [&](std::string_view name) {
    const auto it = std::ranges::find_if(keywords, [&](const auto& row) { return row.first == name; });
    if (it == keywords.end()) return Value::missing();
    Value value = std::move(it->second);
    keywords.erase(it);
    return value;
  };
  bool caller_is_parameter = false;
  for (std::size_t i = 0; i < count; ++i) {
    Value value = i < positional ? arguments.positional[i] : pop(function.parameters[i]);
    caller_is_parameter = caller_is_parameter || function.parameters[i] == "caller";
    frame->slots[function.parameter_slots[i]] = std::move(value);
  }
  if (function.uses_caller && !caller_is_parameter) {
    Value caller = pop("caller");
    if (caller.is_missing() || caller.is_none()) caller = Value::undefined("No caller defined");
    frame->slots[function.caller_slot] = std::move(caller);
  }
  const std::string shown = function.name.empty() ? "None" : repr_text(function.name);
  if (function.uses_keywords) {
    Dict rest;
    for (auto& [name, value] : keywords) rest.set(Value(name), std::move(value));
    frame->slots[function.keywords_slot] = Value::dict(std::move(rest));
  } else if (!keywords.empty()) {
    if (std::ranges::any_of(keywords, [](const auto& row) { return row.first == "caller"; })) {
      type_error("macro " + shown + " was invoked with two values for the special caller argument. This is most likely a bug.");
    }
    type_error("macro " + shown + " takes no keyword argument " + repr_text(keywords[0].first));
  }
  if (function.uses_varargs) {
    frame->slots[function.varargs_slot] =
        Value::tuple({arguments.positional.begin() + static_cast<std::ptrdiff_t>(positional), arguments.positional.end()});
  } else if (arguments.positional.size() > count) {
    type_error(fmt::format("macro {} takes not more than {} argument(s)", shown, count));
  }
  enter(function.loads, *frame);
  for (std::size_t i = 0; i < count; ++i) {
    Value& value = frame->slots[function.parameter_slots[i]];
    if (!value.is_missing()) continue;
    const std::size_t first_default = count - function.defaults.size();
    if (i < first_default) {
      value = Value::undefined("parameter " + repr_text(function.parameters[i]) + " was not provided");
    } else {
      Value otherwise = eval(*function.defaults[i - first_default], frame);
      frame->slots[function.parameter_slots[i]] = std::move(otherwise);
    }
  }
  Output out;
  run_body(function.body, frame, out);
  return Value(out.take(), machine_.autoescape);
}

}  // namespace bigmodel::tokenizer::jinja
