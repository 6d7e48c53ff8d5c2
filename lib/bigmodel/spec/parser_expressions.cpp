// SPDX-License-Identifier: Apache-2.0
// Expressions of the language, lowest precedence first.
#include <fmt/format.h>

#include <cstdlib>

#include "bigmodel/core/parse_number.h"
#include "bigmodel/spec/parser.h"
#include "bigmodel/spec/parser_nesting.h"

namespace bigmodel::spec {

Expr& Parser::make(ExprKind kind, const Place& place) {
  Expr& out = arena_.exprs.emplace_back();
  out.kind = kind;
  out.place = place;
  return out;
}

const Expr* Parser::literal(Value value, const Place& place) {
  Expr& out = make(ExprKind::literal, place);
  out.value = std::move(value);
  return &out;
}

const Expr* Parser::binary(BinaryOp op, const Expr* a, const Expr* b, const Place& place) {
  Expr& out = make(ExprKind::binary, place);
  out.op = op;
  out.kids = {a, b};
  return &out;
}

const Expr* Parser::lone_expression() {
  const Expr* out = expr();
  if (peek().kind != TokenKind::end) unexpected("the end of the expression");
  return out;
}

const Expr* Parser::expr() {
  const Nesting nesting(*this);
  const Expr* out = or_expr();
  if (peek_is("??")) {
    const Place place = take().place;
    Expr& node = make(ExprKind::coalesce, place);
    node.kids = {out, expr()};
    out = &node;
  }
  if (peek_is("if")) {
    const Place place = take().place;
    const Expr* condition = or_expr();
    need("else");
    Expr& node = make(ExprKind::conditional, place);
    node.kids = {condition, out, expr()};
    out = &node;
  }
  return out;
}

const Expr* Parser::or_expr() {
  const Nesting nesting(*this);
  const Expr* out = and_expr();
  while (peek_is("or")) {
    const Place place = take().place;
    out = binary(BinaryOp::logical_or, out, and_expr(), place);
  }
  return out;
}

const Expr* Parser::and_expr() {
  const Expr* out = not_expr();
  while (peek_is("and")) {
    const Place place = take().place;
    out = binary(BinaryOp::logical_and, out, not_expr(), place);
  }
  return out;
}

const Expr* Parser::not_expr() {
  const Nesting nesting(*this);
  const auto negated = [this](const Expr* inner, const Place& place) {
    Expr& node = make(ExprKind::logical_not, place);
    node.kids = {inner};
    return &node;
  };
  if (peek_is("not")) {
    const Place place = take().place;
    return negated(not_expr(), place);
  }
  const Expr* out = sum_expr();
  struct Row {
    std::string_view text;
    BinaryOp op;
  };
  static constexpr Row kComparisons[] = {{"==", BinaryOp::eq}, {"!=", BinaryOp::ne}, {"<", BinaryOp::lt}, {"<=", BinaryOp::le},
                                         {">", BinaryOp::gt},  {">=", BinaryOp::ge}, {"in", BinaryOp::in}};
  for (const Row& row : kComparisons) {
    if (!peek_is(row.text)) continue;
    const Place place = take().place;
    return binary(row.op, out, sum_expr(), place);
  }
  if (peek_is("not") && peek_is("in", 1)) {
    const Place place = take().place;
    take();
    return negated(binary(BinaryOp::in, out, sum_expr(), place), place);
  }
  return out;
}

const Expr* Parser::sum_expr() {
  const Expr* out = term_expr();
  while (peek_is("+") || peek_is("-")) {
    const Token& token = take();
    out = binary(token.text == "+" ? BinaryOp::add : BinaryOp::sub, out, term_expr(), token.place);
  }
  return out;
}

const Expr* Parser::term_expr() {
  const Expr* out = unary_expr();
  while (peek_is("*") || peek_is("/") || peek_is("//") || peek_is("%")) {
    const Token& token = take();
    const BinaryOp op = token.text == "*"    ? BinaryOp::mul
                        : token.text == "/"  ? BinaryOp::div
                        : token.text == "//" ? BinaryOp::floor_div
                                             : BinaryOp::mod;
    out = binary(op, out, unary_expr(), token.place);
  }
  return out;
}

const Expr* Parser::unary_expr() {
  const Nesting nesting(*this);
  if (peek_is("-")) {
    const Place place = take().place;
    Expr& node = make(ExprKind::negate, place);
    node.kids = {unary_expr()};
    return &node;
  }
  return postfix_expr();
}

const Expr* Parser::postfix_expr() {
  const Expr* out = atom();
  while (true) {
    const Place place = peek().place;
    if (accept(".")) {
      Expr& node = make(ExprKind::attribute, place);
      node.kids = {out};
      node.name = name();
      out = &node;
    } else if (accept("[")) {
      Expr& node = make(ExprKind::index, place);
      node.kids = {out, expr()};
      need("]");
      out = &node;
    } else if (peek_is("(") && out->kind == ExprKind::variable) {
      take();
      Expr& node = make(ExprKind::call, out->place);
      node.name = out->name;
      while (!accept(")")) {
        node.kids.push_back(expr());
        if (!peek_is(")")) need(",");
      }
      out = &node;
    } else {
      return out;
    }
  }
}

const Expr* Parser::atom() {
  const Token& token = peek();
  const Place place = token.place;
  switch (token.kind) {
    case TokenKind::integer: {
      take();
      const std::optional<std::int64_t> value = parse_number<std::int64_t>(token.text);
      if (!value) throw SpecError(fmt::format("integer overflow: {}", token.text.substr(0, 40)), place);
      return literal(*value, place);
    }
    case TokenKind::floating: {
      take();
      return literal(std::strtod(std::string(token.text).c_str(), nullptr), place);
    }
    case TokenKind::string:
      take();
      return text_expr(token);
    case TokenKind::name: {
      take();
      if (token.text == "true") return literal(true, place);
      if (token.text == "false") return literal(false, place);
      if (token.text == "null") return literal(Value{}, place);
      Expr& node = make(ExprKind::variable, place);
      node.name = token.text;
      return &node;
    }
    default: break;
  }
  if (accept("(")) {
    const Expr* out = expr();
    need(")");
    return out;
  }
  if (accept(".")) {
    return literal(MemberRef{path()}, place);
  }
  if (accept("[")) return list_or_comprehension(place);
  if (accept("{")) return map_expr(place);
  unexpected("an expression");
}

const Expr* Parser::list_or_comprehension(const Place& place) {
  Expr& node = make(ExprKind::list, place);
  while (!accept("]")) {
    const Expr* item = expr();
    if (node.kids.empty() && accept("for")) {
      node.kind = ExprKind::comprehension;
      node.loop = loop();
      node.kids.push_back(item);
      if (accept("if")) node.kids.push_back(expr());
      need("]");
      return &node;
    }
    node.kids.push_back(item);
    if (!peek_is("]")) need(",");
  }
  return &node;
}

const Expr* Parser::map_expr(const Place& place) {
  Expr& node = make(ExprKind::map, place);
  while (!accept("}")) {
    const Token& key = take();
    if (key.kind != TokenKind::string && key.kind != TokenKind::name && key.kind != TokenKind::integer) {
      throw SpecError("expected a key of a map", key.place);
    }
    need(":");
    node.keys.emplace_back(key.text);
    node.kids.push_back(expr());
    if (!peek_is("}")) need(",");
  }
  return &node;
}

std::vector<Parser::Embedded> Parser::embedded_expressions(const Token& token) {
  std::vector<Embedded> out;
  const std::string_view text = token.text;
  std::size_t at = 0;
  while ((at = text.find('{', at)) != std::string_view::npos) {
    const std::size_t end = text.find_first_of("{}", at + 1);
    if (end == std::string_view::npos || text[end] == '{') {
      ++at;
      continue;
    }
    const Source& source = *token.place.source;
    const auto begin = static_cast<std::size_t>(text.data() - source.text.data()) + at + 1;
    const auto column = static_cast<std::uint32_t>(token.place.column + at + 2);
    const Nesting nesting(*this);
    Parser inner(arena_, lex(source, begin, begin + (end - at - 1), token.place.line, column, true));
    inner.nesting_ = nesting_;
    out.push_back({at, end + 1, inner.lone_expression()});
    at = end + 1;
  }
  return out;
}

const Expr* Parser::text_expr(const Token& token) {
  const std::string_view text = token.text;
  const std::vector<Embedded> embedded = embedded_expressions(token);
  if (embedded.empty()) return literal(std::string(text), token.place);
  std::vector<const Expr*> pieces;
  std::size_t from = 0;
  for (const Embedded& piece : embedded) {
    if (piece.begin > from) pieces.push_back(literal(std::string(text.substr(from, piece.begin - from)), token.place));
    pieces.push_back(piece.expr);
    from = piece.end;
  }
  if (from < text.size()) pieces.push_back(literal(std::string(text.substr(from)), token.place));
  Expr& node = make(ExprKind::text, token.place);
  node.kids = std::move(pieces);
  return &node;
}

}  // namespace bigmodel::spec
