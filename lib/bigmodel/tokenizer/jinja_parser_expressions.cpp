// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "bigmodel/tokenizer/jinja_parser_class.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::uint32_t kMostHeight = 300;

std::string kind_name(ExprKind kind) {
  switch (kind) {
    case ExprKind::constant: return "const";
    case ExprKind::name: return "name";
    case ExprKind::ns_ref: return "nsref";
    case ExprKind::list: return "list";
    case ExprKind::tuple: return "tuple";
    case ExprKind::dict: return "dict";
    case ExprKind::getattr: return "getattr";
    case ExprKind::getitem: return "getitem";
    case ExprKind::slice: return "slice";
    case ExprKind::call: return "call";
    case ExprKind::filter: return "filter";
    case ExprKind::test: return "test";
    case ExprKind::negate: return "neg";
    case ExprKind::plus: return "pos";
    case ExprKind::not_: return "not";
    case ExprKind::and_: return "and";
    case ExprKind::or_: return "or";
    case ExprKind::add: return "add";
    case ExprKind::sub: return "sub";
    case ExprKind::mul: return "mul";
    case ExprKind::div: return "div";
    case ExprKind::floordiv: return "floordiv";
    case ExprKind::mod: return "mod";
    case ExprKind::pow: return "pow";
    case ExprKind::concat: return "concat";
    case ExprKind::compare: return "compare";
    case ExprKind::conditional: return "condexpr";
  }
  return "expr";
}

}  // namespace

ExprPtr Parser::node(ExprKind kind, Place place) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->place = place;
  return expr;
}

ExprPtr Parser::grown(ExprPtr expr) const {
  std::uint32_t height = 0;
  for (const ExprPtr& item : expr->items) {
    if (item != nullptr) height = std::max(height, item->height);
  }
  for (const auto& keyword : expr->keywords) height = std::max(height, keyword.second->height);
  if (expr->dynamic_args != nullptr) height = std::max(height, expr->dynamic_args->height);
  if (expr->dynamic_keywords != nullptr) height = std::max(height, expr->dynamic_keywords->height);
  expr->height = height + 1;
  if (expr->height > kMostHeight) fail("expression nested deeper than " + std::to_string(kMostHeight), expr->place);
  return expr;
}

ExprPtr Parser::binary(ExprKind kind, Place place, ExprPtr left, ExprPtr right) const {
  ExprPtr expr = node(kind, place);
  expr->items.push_back(std::move(left));
  expr->items.push_back(std::move(right));
  return grown(std::move(expr));
}

void Parser::make_target(Expr& expr) const {
  if (expr.kind == ExprKind::tuple) {
    for (const ExprPtr& item : expr.items) make_target(*item);
  } else if (expr.kind == ExprKind::name || expr.kind == ExprKind::ns_ref) {
    expr.store = true;
  }
}

ExprPtr Parser::parse_target(bool with_tuple, const char* end_name, bool with_namespace) {
  ExprPtr target = with_tuple ? parse_tuple(true, end_name, false, true, with_namespace) : parse_primary(with_namespace);
  make_target(*target);
  const auto assignable = [](const auto& self, const Expr& expr) -> bool {
    if (expr.kind == ExprKind::tuple) return std::ranges::all_of(expr.items, [&](const ExprPtr& item) { return self(self, *item); });
    return expr.kind == ExprKind::name || expr.kind == ExprKind::ns_ref;
  };
  if (!assignable(assignable, *target)) fail("can't assign to '" + kind_name(target->kind) + "'", target->place);
  return target;
}

std::string Parser::parse_target_name() {
  const Token token = expect(TokenType::name);
  constexpr std::array<std::string_view, 6> kConstants{"true", "false", "none", "True", "False", "None"};
  if (std::ranges::find(kConstants, token.text) != kConstants.end()) fail("can't assign to 'name'", token.place);
  return token.text;
}

ExprPtr Parser::parse_expression(bool with_condition) { return with_condition ? parse_conditional() : parse_or(); }

ExprPtr Parser::parse_conditional() {
  const Nesting nesting(*this);
  Place place = current_.place;
  ExprPtr then = parse_or();
  while (skip_name("if")) {
    ExprPtr test = parse_or();
    ExprPtr otherwise = skip_name("else") ? parse_conditional() : nullptr;
    ExprPtr expr = node(ExprKind::conditional, place);
    expr->items.push_back(std::move(test));
    expr->items.push_back(std::move(then));
    expr->items.push_back(std::move(otherwise));
    then = grown(std::move(expr));
    place = current_.place;
  }
  return then;
}

ExprPtr Parser::parse_or() {
  Place place = current_.place;
  ExprPtr left = parse_and();
  while (skip_name("or")) {
    left = binary(ExprKind::or_, place, std::move(left), parse_and());
    place = current_.place;
  }
  return left;
}

ExprPtr Parser::parse_and() {
  Place place = current_.place;
  ExprPtr left = parse_not();
  while (skip_name("and")) {
    left = binary(ExprKind::and_, place, std::move(left), parse_not());
    place = current_.place;
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!current_.is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  ExprPtr expr = node(ExprKind::not_, take().place);
  expr->items.push_back(parse_not());
  return grown(std::move(expr));
}

ExprPtr Parser::parse_compare() {
  const Place place = current_.place;
  ExprPtr first = parse_sum();
  std::vector<CompareOp> ops;
  std::vector<ExprPtr> operands;
  while (true) {
    CompareOp op{};
    constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kOps{{{"==", CompareOp::eq},
                                                                         {"!=", CompareOp::ne},
                                                                         {"<", CompareOp::lt},
                                                                         {"<=", CompareOp::lteq},
                                                                         {">", CompareOp::gt},
                                                                         {">=", CompareOp::gteq}}};
    const auto it = std::ranges::find_if(kOps, [&](const auto& row) { return current_.is_op(row.first); });
    if (it != kOps.end()) {
      op = it->second;
      take();
    } else if (skip_name("in")) {
      op = CompareOp::in;
    } else if (current_.is_name("not") && look().is_name("in")) {
      op = CompareOp::notin;
      take();
      take();
    } else {
      break;
    }
    ops.push_back(op);
    operands.push_back(parse_sum());
  }
  if (ops.empty()) return first;
  ExprPtr expr = node(ExprKind::compare, place);
  expr->compares = std::move(ops);
  expr->items.push_back(std::move(first));
  for (ExprPtr& operand : operands) expr->items.push_back(std::move(operand));
  return grown(std::move(expr));
}

ExprPtr Parser::parse_sum() {
  Place place = current_.place;
  ExprPtr left = parse_concat();
  while (current_.is_op("+") || current_.is_op("-")) {
    const ExprKind kind = take().text == "+" ? ExprKind::add : ExprKind::sub;
    left = binary(kind, place, std::move(left), parse_concat());
    place = current_.place;
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  const Place place = current_.place;
  ExprPtr first = parse_product();
  if (!current_.is_op("~")) return first;
  ExprPtr expr = node(ExprKind::concat, place);
  expr->items.push_back(std::move(first));
  while (skip_op("~")) expr->items.push_back(parse_product());
  return grown(std::move(expr));
}

ExprPtr Parser::parse_product() {
  Place place = current_.place;
  ExprPtr left = parse_pow();
  while (current_.is_op("*") || current_.is_op("/") || current_.is_op("//") || current_.is_op("%")) {
    const std::string op = take().text;
    const ExprKind kind = op == "*" ? ExprKind::mul : op == "/" ? ExprKind::div : op == "//" ? ExprKind::floordiv : ExprKind::mod;
    left = binary(kind, place, std::move(left), parse_pow());
    place = current_.place;
  }
  return left;
}

ExprPtr Parser::parse_pow() {
  Place place = current_.place;
  ExprPtr left = parse_unary();
  while (skip_op("**")) {
    left = binary(ExprKind::pow, place, std::move(left), parse_unary());
    place = current_.place;
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  const Place place = current_.place;
  ExprPtr expr;
  if (current_.is_op("-") || current_.is_op("+")) {
    const Nesting nesting(*this);
    expr = node(take().text == "-" ? ExprKind::negate : ExprKind::plus, place);
    expr->items.push_back(parse_unary(false));
    expr = grown(std::move(expr));
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filter ? parse_filter_expr(std::move(expr)) : std::move(expr);
}

ExprPtr Parser::parse_primary(bool with_namespace) {
  const Place place = current_.place;
  if (current_.type == TokenType::name) {
    const std::string name = take().text;
    if (name == "true" || name == "True" || name == "false" || name == "False" || name == "none" || name == "None") {
      ExprPtr expr = node(ExprKind::constant, place);
      if (name[0] != 'n' && name[0] != 'N') expr->constant = Value(name[0] == 't' || name[0] == 'T');
      return expr;
    }
    if (with_namespace && skip_op(".")) {
      ExprPtr expr = node(ExprKind::ns_ref, place);
      expr->name = name;
      expr->attribute = expect(TokenType::name).text;
      return expr;
    }
    ExprPtr expr = node(ExprKind::name, place);
    expr->name = name;
    return expr;
  }
  if (current_.type == TokenType::string) {
    std::string text;
    while (current_.type == TokenType::string) text += take().text;
    ExprPtr expr = node(ExprKind::constant, place);
    expr->constant = Value(std::move(text));
    return expr;
  }
  if (current_.type == TokenType::integer || current_.type == TokenType::floating) {
    ExprPtr expr = node(ExprKind::constant, place);
    expr->constant = take().value;
    return expr;
  }
  if (current_.is_op("(")) {
    const Nesting nesting(*this);
    take();
    ExprPtr expr = parse_tuple(true, nullptr, true);
    expect_op(")");
    return expr;
  }
  if (current_.is_op("[")) return parse_list();
  if (current_.is_op("{")) return parse_dict();
  fail("unexpected " + repr_text(describe(current_)));
}

ExprPtr Parser::parse_tuple(bool with_condition, const char* end_name, bool parentheses, bool simplified, bool with_namespace) {
  const Nesting nesting(*this);
  Place place = current_.place;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_op(",");
    if (current_.type == TokenType::variable_end || current_.type == TokenType::block_end || current_.is_op(")") ||
        (end_name != nullptr && current_.is_name(end_name))) {
      break;
    }
    items.push_back(simplified ? parse_primary(with_namespace) : parse_expression(with_condition));
    if (!current_.is_op(",")) break;
    is_tuple = true;
    place = current_.place;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!parentheses) fail("Expected an expression, got " + repr_text(describe(current_)));
  }
  ExprPtr expr = node(ExprKind::tuple, place);
  expr->items = std::move(items);
  return grown(std::move(expr));
}

ExprPtr Parser::parse_list() {
  const Nesting nesting(*this);
  ExprPtr expr = node(ExprKind::list, expect_op("[").place);
  while (!current_.is_op("]")) {
    if (!expr->items.empty()) expect_op(",");
    if (current_.is_op("]")) break;
    expr->items.push_back(parse_expression());
  }
  expect_op("]");
  return grown(std::move(expr));
}

ExprPtr Parser::parse_dict() {
  const Nesting nesting(*this);
  ExprPtr expr = node(ExprKind::dict, expect_op("{").place);
  while (!current_.is_op("}")) {
    if (!expr->items.empty()) expect_op(",");
    if (current_.is_op("}")) break;
    expr->items.push_back(parse_expression());
    expect_op(":");
    expr->items.push_back(parse_expression());
  }
  expect_op("}");
  return grown(std::move(expr));
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (current_.is_op(".") || current_.is_op("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (current_.is_op("(")) {
      expr = parse_call_on(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_filter_expr(ExprPtr expr) {
  while (true) {
    if (current_.is_op("|")) {
      expr = parse_filter(std::move(expr));
    } else if (current_.is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (current_.is_op("(")) {
      expr = parse_call_on(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_subscript(ExprPtr object) {
  const Nesting nesting(*this);
  const Token token = take();
  if (token.text == ".") {
    const Token attribute = take();
    if (attribute.type == TokenType::name) {
      ExprPtr expr = node(ExprKind::getattr, token.place);
      expr->name = attribute.text;
      expr->items.push_back(std::move(object));
      return grown(std::move(expr));
    }
    if (attribute.type != TokenType::integer) fail("expected name or number", attribute.place);
    ExprPtr index = node(ExprKind::constant, attribute.place);
    index->constant = attribute.value;
    return binary(ExprKind::getitem, token.place, std::move(object), std::move(index));
  }
  std::vector<ExprPtr> arguments;
  while (!current_.is_op("]")) {
    if (!arguments.empty()) expect_op(",");
    arguments.push_back(parse_subscribed());
  }
  expect_op("]");
  ExprPtr index;
  if (arguments.size() == 1) {
    index = std::move(arguments[0]);
  } else {
    index = node(ExprKind::tuple, token.place);
    index->items = std::move(arguments);
    index = grown(std::move(index));
  }
  return binary(ExprKind::getitem, token.place, std::move(object), std::move(index));
}

ExprPtr Parser::parse_subscribed() {
  const Place place = current_.place;
  const auto part_follows = [&] { return !current_.is_op("]") && !current_.is_op(","); };
  ExprPtr begin;
  if (!current_.is_op(":")) {
    begin = parse_expression();
    if (!current_.is_op(":")) return begin;
  }
  take();
  ExprPtr end;
  ExprPtr step;
  if (!current_.is_op(":") && part_follows()) end = parse_expression();
  if (skip_op(":") && part_follows()) step = parse_expression();
  ExprPtr slice = node(ExprKind::slice, place);
  slice->items.push_back(std::move(begin));
  slice->items.push_back(std::move(end));
  slice->items.push_back(std::move(step));
  return grown(std::move(slice));
}

void Parser::parse_arguments(Expr& call) {
  const Nesting nesting(*this);
  const Token open = expect_op("(");
  const auto ensure = [&](bool holds) {
    if (!holds) fail("invalid syntax for function call expression", open.place);
  };
  bool comma = false;
  while (!current_.is_op(")")) {
    if (comma) {
      expect_op(",");
      if (current_.is_op(")")) break;
    }
    if (current_.is_op("*")) {
      ensure(call.dynamic_args == nullptr && call.dynamic_keywords == nullptr);
      take();
      call.dynamic_args = parse_expression();
    } else if (current_.is_op("**")) {
      ensure(call.dynamic_keywords == nullptr);
      take();
      call.dynamic_keywords = parse_expression();
    } else if (current_.type == TokenType::name && look().is_op("=")) {
      ensure(call.dynamic_keywords == nullptr);
      std::string key = take().text;
      take();
      call.keywords.emplace_back(std::move(key), parse_expression());
    } else {
      ensure(call.dynamic_args == nullptr && call.dynamic_keywords == nullptr && call.keywords.empty());
      call.items.push_back(parse_expression());
    }
    comma = true;
  }
  expect_op(")");
}

ExprPtr Parser::parse_call_on(ExprPtr callee) {
  ExprPtr expr = node(ExprKind::call, current_.place);
  expr->items.push_back(std::move(callee));
  parse_arguments(*expr);
  return grown(std::move(expr));
}

ExprPtr Parser::parse_filter(ExprPtr object, bool start_inline) {
  while (current_.is_op("|") || start_inline) {
    if (!start_inline) take();
    const Token token = expect(TokenType::name);
    ExprPtr expr = node(ExprKind::filter, token.place);
    expr->name = token.text;
    while (skip_op(".")) expr->name += "." + expect(TokenType::name).text;
    expr->items.push_back(std::move(object));
    if (current_.is_op("(")) parse_arguments(*expr);
    object = grown(std::move(expr));
    start_inline = false;
  }
  return object;
}

ExprPtr Parser::parse_test(ExprPtr object) {
  const Token token = take();
  const bool negated = skip_name("not");
  ExprPtr expr = node(ExprKind::test, token.place);
  expr->name = expect(TokenType::name).text;
  while (skip_op(".")) expr->name += "." + expect(TokenType::name).text;
  expr->items.push_back(std::move(object));
  const bool operand = current_.type == TokenType::name || current_.type == TokenType::string || current_.type == TokenType::integer ||
                       current_.type == TokenType::floating || current_.is_op("[") || current_.is_op("{");
  if (current_.is_op("(")) {
    parse_arguments(*expr);
  } else if (operand && !current_.is_name("else") && !current_.is_name("or") && !current_.is_name("and")) {
    if (current_.is_name("is")) fail("You cannot chain multiple tests with is");
    const Nesting nesting(*this);
    expr->items.push_back(parse_postfix(parse_primary()));
  }
  expr = grown(std::move(expr));
  if (!negated) return expr;
  ExprPtr negation = node(ExprKind::not_, token.place);
  negation->items.push_back(std::move(expr));
  return grown(std::move(negation));
}

}  // namespace bigmodel::tokenizer::jinja
