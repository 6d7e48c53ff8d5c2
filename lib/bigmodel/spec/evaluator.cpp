// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/evaluator.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/spec/functions.h"

namespace bigmodel::spec {
namespace {

/// One level of the evaluator's own recursion; lets and config keys chain, so the parser's limit does not bound it.
class Depth {
 public:
  Depth(int& depth, const Place& place) : depth_(depth) {
    if (depth_ >= Evaluator::kDeepestCall) throw SpecError("expressions refer to each other too deeply", place);
    ++depth_;
  }
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int& depth_;
};

}  // namespace

const Stmt* Frame::find_let(std::string_view name) const {
  if (body_ == nullptr) return nullptr;
  for (const Stmt* stmt : *body_) {
    if (stmt->kind == StmtKind::let && stmt->word == name) return stmt;
  }
  return nullptr;
}

const Slot* Frame::find_slot(std::string_view name) const {
  for (const Frame* frame = this; frame != nullptr; frame = frame->parent_) {
    for (const Slot& slot : frame->slots_) {
      if (slot.name == name) return &slot;
    }
    if (frame->find_let(name) != nullptr) return nullptr;
  }
  return nullptr;
}

Value LoopRange::at(std::int64_t k) const {
  if (const List* values = list.if_list()) return (*values)[static_cast<std::size_t>(k)];
  return from + k;
}

void Evaluator::count_steps(std::int64_t steps, const Place& place) {
  steps_ += steps;
  if (steps_ > kMostSteps) throw SpecError(fmt::format("the description needs more than {} steps", kMostSteps), place);
}

Value Evaluator::eval(const Expr& e, const Frame& frame) {
  count_steps(1, e.place);
  const Depth depth(depth_, e.place);
  switch (e.kind) {
    case ExprKind::literal: return e.value;
    case ExprKind::variable: return lookup(e, frame);
    case ExprKind::text: {
      std::string out;
      for (const Expr* piece : e.kids) {
        out += eval(*piece, frame).text();
        if (out.size() > kLongestText) throw SpecError("the text is too long", e.place);
      }
      return out;
    }
    case ExprKind::list: {
      List out;
      out.reserve(e.kids.size());
      for (const Expr* item : e.kids) out.push_back(eval(*item, frame));
      return out;
    }
    case ExprKind::map: {
      Map out;
      for (std::size_t i = 0; i < e.kids.size(); ++i) out.emplace_back(e.keys[i], eval(*e.kids[i], frame));
      return out;
    }
    case ExprKind::conditional: return eval(truth(*e.kids[0], frame) ? *e.kids[1] : *e.kids[2], frame);
    case ExprKind::coalesce: {
      Value v = eval(*e.kids[0], frame);
      return v.is_null() ? eval(*e.kids[1], frame) : v;
    }
    case ExprKind::logical_not: return !truth(*e.kids[0], frame);
    case ExprKind::negate: return apply_negate(eval(*e.kids[0], frame), e.place);
    case ExprKind::member: return MemberRef{std::string(e.name)};
    case ExprKind::comprehension: return comprehension(e, frame);
    case ExprKind::attribute: return attribute(e, frame);
    case ExprKind::index: return index(e, frame);
    case ExprKind::call: return call(e, frame);
    case ExprKind::binary: return binary(e, frame);
  }
  return {};
}

Value Evaluator::lookup(const Expr& e, const Frame& frame) {
  for (const Frame* f = &frame; f != nullptr; f = f->parent_) {
    for (const Slot& slot : f->slots_) {
      if (slot.name == e.name) return slot.get();
    }
    if (const Stmt* let = f->find_let(e.name)) return let_value(*f, *let);
  }
  ConfigView& config = frame.config();
  if (config.has(e.name)) return config.get(e.name);
  throw SpecError(fmt::format("unknown name '{}' in model '{}'", e.name.substr(0, 80), config.model().name), e.place,
                  did_you_mean(e.name, visible_names(frame)));
}

Value Evaluator::let_value(const Frame& frame, const Stmt& stmt) {
  for (const Frame::Let& let : frame.lets_) {
    if (let.stmt != &stmt) continue;
    if (!let.ready) throw SpecError(fmt::format("let '{}' depends on itself", stmt.word), stmt.place);
    return let.value;
  }
  const std::size_t at = frame.lets_.size();
  frame.lets_.push_back({&stmt, {}, false});
  Value value = eval(*stmt.value, frame);
  frame.lets_[at].value = value;
  frame.lets_[at].ready = true;
  return value;
}

std::vector<std::string> Evaluator::visible_names(const Frame& frame) const {
  std::vector<std::string> out;
  for (const Frame* f = &frame; f != nullptr; f = f->parent_) {
    for (const Slot& slot : f->slots_) out.emplace_back(slot.name);
    if (f->body_ == nullptr) continue;
    for (const Stmt* stmt : *f->body_) {
      if (stmt->kind == StmtKind::let) out.emplace_back(stmt->word);
    }
  }
  std::vector<std::string> keys = frame.config().known_keys();
  std::ranges::sort(keys);
  out.insert(out.end(), keys.begin(), keys.end());
  return out;
}

LoopRange Evaluator::range(const Loop& loop, const Frame& frame) {
  const auto bound = [&](const Expr& e) {
    const Value v = eval(e, frame);
    if (const std::int64_t* i = v.if_int()) return *i;
    throw SpecError(fmt::format("a bound must be an integer, got {}", v.describe()), e.place);
  };
  LoopRange out;
  if (loop.list != nullptr) {
    const Value v = eval(*loop.list, frame);
    if (const std::int64_t* count = v.if_int()) {
      if (*count < 0) throw SpecError(fmt::format("a count must not be negative, got {}", *count), loop.list->place);
      out.count = *count;
    } else if (const List* list = v.if_list()) {
      out.count = static_cast<std::int64_t>(list->size());
      out.list = v;
    } else {
      throw SpecError(fmt::format("expected a list or a count, got {}", v.describe()), loop.list->place);
    }
  } else {
    out.from = bound(*loop.from);
    const std::int64_t to = bound(*loop.to);
    if (to < 0) throw SpecError(fmt::format("a count must not be negative, got {}", to), loop.to->place);
    out.count = to <= out.from ? 0 : try_sub(to, out.from).value_or(INT64_MAX);
  }
  out.count = std::max<std::int64_t>(out.count, 0);
  if (out.count > kLongestList) {
    throw SpecError(fmt::format("a range of {} is too long (limit {})", out.count, kLongestList), loop.place);
  }
  return out;
}

Value Evaluator::comprehension(const Expr& e, const Frame& frame) {
  const LoopRange values = range(e.loop, frame);
  List out;
  for (std::int64_t k = 0; k < values.count; ++k) {
    const Frame inner(frame, {{e.loop.name, values.at(k)}});
    if (e.kids.size() > 1 && !truth(*e.kids[1], inner)) continue;
    out.push_back(eval(*e.kids[0], inner));
  }
  return out;
}

Value Evaluator::attribute(const Expr& e, const Frame& frame) {
  // `config` is the model's whole config: `config.x` reaches a key that an argument hides.
  const Expr& object = *e.kids[0];
  if (object.kind == ExprKind::variable && object.name == "config" && frame.find_slot("config") == nullptr &&
      !frame.config().has("config")) {
    if (frame.config().has(e.name)) return frame.config().get(e.name);
    const Value* raw = frame.config().given(e.name);
    return raw == nullptr ? Value{} : *raw;
  }
  const Value v = eval(object, frame);
  if (const auto* config = v.if_config()) {
    if ((*config)->has(e.name)) return (*config)->get(e.name);
    if (e.name == "model_type") return std::string((*config)->model().name);
    if (const Value* raw = (*config)->given(e.name)) return *raw;
    throw SpecError(fmt::format("model type '{}' has no config key '{}'", (*config)->model().name, e.name), e.place,
                    did_you_mean(e.name, (*config)->known_keys()));
  }
  if (const Map* map = v.if_map()) {
    const Value* hit = find(*map, e.name);
    return hit == nullptr ? Value{} : *hit;
  }
  if (v.is_null()) return {};
  throw SpecError(fmt::format("no key '{}' in {}", e.name, v.describe()), e.place);
}

Value Evaluator::index(const Expr& e, const Frame& frame) {
  const Value v = eval(*e.kids[0], frame);
  const Value at = eval(*e.kids[1], frame);
  if (const Map* map = v.if_map()) {
    const Value* hit = at.if_string() == nullptr ? nullptr : find(*map, *at.if_string());
    return hit == nullptr ? Value{} : *hit;
  }
  const List* list = v.if_list();
  const std::int64_t* i = at.if_int();
  const auto size = list == nullptr ? std::int64_t{0} : static_cast<std::int64_t>(list->size());
  if (list == nullptr || i == nullptr || *i < -size || *i >= size) {
    throw SpecError(fmt::format("index {} outside {}", at.describe(), list == nullptr ? v.describe() : fmt::format("a list of {}", size)),
                    e.place);
  }
  return (*list)[static_cast<std::size_t>(*i < 0 ? *i + size : *i)];
}

Value Evaluator::call(const Expr& e, const Frame& frame) {
  if (e.name == "given") {
    if (e.kids.size() != 1 || e.kids[0]->kind != ExprKind::variable) {
      throw SpecError("given: expected the name of a config key", e.place);
    }
    const Value* raw = frame.config().given(e.kids[0]->name);
    return raw != nullptr && !raw->is_null();
  }
  const Def* def = library_->find_def(frame.config().model(), e.name);
  if (def == nullptr && !is_function(e.name)) {
    throw SpecError(fmt::format("unknown function '{}'", e.name.substr(0, 80)), e.place, did_you_mean(e.name, function_names()));
  }
  List args;
  for (const Expr* argument : e.kids) args.push_back(eval(*argument, frame));
  if (def == nullptr) return apply_function(e.name, args, e.place);
  if (args.size() != def->params.size()) {
    throw SpecError(fmt::format("{} takes {} arguments, got {}", e.name, def->params.size(), args.size()), e.place);
  }
  if (std::ranges::find(active_defs_, def) != active_defs_.end()) {
    throw SpecError(fmt::format("def '{}' calls itself", def->name), e.place);
  }
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < args.size(); ++i) slots.push_back({def->params[i].name, args[i]});
  active_defs_.push_back(def);
  try {
    Value out = eval(*def->value, Frame(frame.config(), std::move(slots), nullptr));
    active_defs_.pop_back();
    return out;
  } catch (...) {
    active_defs_.pop_back();
    throw;
  }
}

Value Evaluator::binary(const Expr& e, const Frame& frame) {
  if (e.op == BinaryOp::logical_and) return truth(*e.kids[0], frame) && truth(*e.kids[1], frame);
  if (e.op == BinaryOp::logical_or) return truth(*e.kids[0], frame) || truth(*e.kids[1], frame);
  const Value a = eval(*e.kids[0], frame);
  return apply_binary(e.op, a, eval(*e.kids[1], frame), e.place);
}

}  // namespace bigmodel::spec
