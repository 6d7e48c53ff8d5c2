// SPDX-License-Identifier: Apache-2.0
// Statements of class bodies, module expressions and on-disk forms.
#include <fmt/format.h>


#include "bigmodel/core/parse_number.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/spec/parser.h"
#include "bigmodel/spec/parser_nesting.h"

namespace bigmodel::spec {
namespace {

struct DTypeWord {
  std::string_view word;
  DType dtype;
};
constexpr DTypeWord kDTypes[] = {{"f32", DType::float32}, {"f16", DType::float16}, {"bf16", DType::bfloat16},
                                 {"f64", DType::float64}, {"i64", DType::int64},   {"i32", DType::int32},
                                 {"u8", DType::uint8},    {"bool", DType::boolean}, {"c64", DType::complex64}};

}  // namespace

std::optional<std::string_view> literal_name(const Stmt& stmt) {
  if (stmt.name == nullptr || stmt.name->kind != ExprKind::literal) return std::nullopt;
  const std::string* text = stmt.name->value.if_string();
  if (text == nullptr) return std::nullopt;
  return *text;
}

const Stmt* Parser::stmt() {
  const Token& token = peek();
  const Place place = token.place;
  if (peek_is(":", 1) || token.kind == TokenKind::string || token.kind == TokenKind::integer || peek_is("{")) return child();
  const std::string_view keyword = need_kind(TokenKind::name, "a statement").text;
  if (keyword == "param") return tensor_stmt(StmtKind::param, place);
  if (keyword == "buffer") return tensor_stmt(StmtKind::buffer, place);
  if (keyword == "if") return branch_stmt(place);
  Stmt& out = arena_.stmts.emplace_back();
  out.place = place;
  if (keyword == "for") {
    out.kind = StmtKind::loop;
    out.range = loop();
    out.body = body();
    return &out;
  }
  if (keyword == "block") {
    out.kind = StmtKind::block;
    out.word = name();
    need_kind(TokenKind::newline, "the end of the line");
    if (peek().kind == TokenKind::indent) {
      take();
      while (peek().kind == TokenKind::name) {
        const std::string_view property = name();
        need("=");
        out.properties.emplace_back(property, expr());
        need_kind(TokenKind::newline, "the end of the line");
      }
      need_kind(TokenKind::dedent, "a property");
    }
    return &out;
  }
  if (keyword == "let") {
    out.kind = StmtKind::let;
    out.word = name();
    need("=");
    out.value = expr();
  } else if (keyword == "remove") {
    out.kind = StmtKind::remove;
    const Token& member = take();
    if (member.kind != TokenKind::name && member.kind != TokenKind::integer && member.kind != TokenKind::string) {
      throw SpecError("expected a member to remove", member.place);
    }
    out.word = member.text;
  } else if (keyword == "rename") {
    out.kind = StmtKind::rename;
    out.other = path();
    need("->");
    out.word = name();
  } else if (keyword == "tie") {
    out.kind = StmtKind::tie;
    out.path = path(&out.path_embedded);
    need("->");
    out.other = path(&out.other_embedded);
    if (accept("if")) out.condition = expr();
  } else if (keyword == "nosplit") {
    out.kind = StmtKind::nosplit;
    if (!accept("none")) out.names = names();
  } else if (keyword == "disk") {
    out.kind = StmtKind::disk;
    out.path = path(&out.path_embedded);
    need("<-");
    out.form = form();
    out.legacy = accept("legacy");
    if (accept("if")) out.condition = expr();
  } else {
    static const std::vector<std::string> kStatements{"let", "param", "buffer", "remove", "rename", "if",
                                                      "for", "tie",   "nosplit", "disk",  "block"};
    throw SpecError(fmt::format("unknown statement '{}'", keyword.substr(0, 40)), place, did_you_mean(keyword, kStatements));
  }
  need_kind(TokenKind::newline, "the end of the line");
  return &out;
}

const Stmt* Parser::tensor_stmt(StmtKind kind, const Place& place) {
  Stmt& out = arena_.stmts.emplace_back();
  out.kind = kind;
  out.place = place;
  out.name = member_name();
  need("[");
  while (!accept("]")) {
    out.dims.push_back(expr());
    if (!peek_is("]")) need(",");
  }
  if (peek().kind == TokenKind::name) {
    for (const DTypeWord& row : kDTypes) {
      if (accept(row.word)) {
        out.dtype = row.dtype;
        break;
      }
    }
  }
  out.unsaved = accept("unsaved");
  if (accept("if")) out.condition = expr();
  out.placement = placement();
  need_kind(TokenKind::newline, "the end of the line");
  return &out;
}

const Stmt* Parser::branch_stmt(const Place& place) {
  Stmt& out = arena_.stmts.emplace_back();
  out.kind = StmtKind::branch;
  out.place = place;
  const Expr* condition = expr();
  out.arms.emplace_back(condition, body());
  while (accept("elif")) {
    condition = expr();
    out.arms.emplace_back(condition, body());
  }
  if (accept("else")) out.arms.emplace_back(nullptr, body());
  return &out;
}

const Expr* Parser::member_name() {
  const Token& token = peek();
  if (token.kind == TokenKind::name || token.kind == TokenKind::integer) {
    take();
    return literal(std::string(token.text), token.place);
  }
  if (token.kind == TokenKind::string) {
    take();
    return text_expr(token);
  }
  if (accept("{")) {
    Expr& out = make(ExprKind::text, token.place);
    out.kids.push_back(expr());
    need("}");
    return &out;
  }
  unexpected("a member");
}

const Stmt* Parser::child() {
  Stmt& out = arena_.stmts.emplace_back();
  out.kind = StmtKind::child;
  out.place = peek().place;
  out.name = member_name();
  need(":");
  out.module = module_expr();
  out.placement = placement();
  out.body = body();
  out.has_body = !out.body.empty();
  return &out;
}

std::string Parser::path(std::vector<const Expr*>* embedded) {
  std::string out;
  while (true) {
    const Token& token = take();
    const bool part = token.kind == TokenKind::name || token.kind == TokenKind::integer || token.kind == TokenKind::floating ||
                      token.kind == TokenKind::string || (token.kind == TokenKind::op && token.text == "*");
    if (!part) throw SpecError("expected a path of members", token.place);
    if (embedded != nullptr && token.kind == TokenKind::string) {
      for (const Embedded& piece : embedded_expressions(token)) embedded->push_back(piece.expr);
    }
    out += token.text;
    if (!accept(".")) return out;
    out += '.';
  }
}

Placement Parser::placement() {
  if (accept("first")) return {Placement::Kind::first, {}};
  if (accept("after")) return {Placement::Kind::after, take().text};
  if (accept("before")) return {Placement::Kind::before, take().text};
  return {};
}

Loop Parser::loop() {
  Loop out;
  out.place = peek().place;
  out.name = name();
  if (accept("<")) {
    out.from = literal(Value{0}, peek().place);
    out.to = sum_expr();
    return out;
  }
  need("in");
  const Expr* first = sum_expr();
  if (accept("..")) {
    out.from = first;
    out.to = sum_expr();
  } else {
    out.list = first;
  }
  return out;
}

int Parser::small_integer() {
  const Token& token = need_kind(TokenKind::integer, "an integer");
  const std::optional<int> out = parse_number<int>(token.text);
  if (!out) throw SpecError("integer too large", token.place);
  return *out;
}

const FormExpr* Parser::form() {
  const Nesting nesting(*this);
  FormExpr& out = arena_.forms.emplace_back();
  const Token& token = peek();
  if (token.kind == TokenKind::string) {
    take();
    out.name = text_expr(token);
    return &out;
  }
  if (peek_is("none") && !peek_is(".", 1)) {
    take();
    out.kind = FormExpr::Kind::absent;
    return &out;
  }
  if (!peek_is("(", 1)) {
    const Place place = token.place;
    out.name = literal(path(), place);
    return &out;
  }
  const std::string_view word = take().text;
  need("(");
  if (word == "concat") {
    out.kind = FormExpr::Kind::concat;
    out.axis = small_integer();
    need(",");
    if (peek_is("[")) {
      out.sizes = or_expr();
      need(",");
    }
    out.forms.push_back(form());
    while (accept(",")) out.forms.push_back(form());
  } else if (word == "stack") {
    out.kind = FormExpr::Kind::stack;
    out.loop = loop();
    need(",");
    out.forms.push_back(form());
  } else if (word == "transpose") {
    out.kind = FormExpr::Kind::transpose;
    out.forms.push_back(form());
  } else if (word == "part") {
    out.kind = FormExpr::Kind::part;
    out.axis = small_integer();
    need(",");
    out.index = small_integer();
    need(",");
    if (peek_is("[")) {
      out.sizes = or_expr();
    } else {
      out.count = small_integer();
      if (out.count < 1 || out.index >= out.count) throw SpecError("part: the index must be below the count", token.place);
    }
    need(",");
    out.forms.push_back(form());
  } else {
    static const std::vector<std::string> kForms{"concat", "stack", "transpose", "part"};
    throw SpecError(fmt::format("unknown on-disk form '{}'", word.substr(0, 40)), token.place, did_you_mean(word, kForms));
  }
  need(")");
  return &out;
}

const ModuleExpr* Parser::module_expr() {
  const Nesting nesting(*this);
  ModuleExpr* out = &arena_.modules.emplace_back();
  out->place = peek().place;
  if (accept("none")) {
    out->kind = ModuleExpr::Kind::none;
  } else if (accept("[")) {
    out->kind = ModuleExpr::Kind::sequence;
    out->name = "ModuleList";
    out->elements = elements();
  } else {
    out->kind = ModuleExpr::Kind::call;
    out->name = type_name();
    if (accept(".")) {
      out->model = out->name;
      out->name = name();
    }
    if (out->model.empty() && accept("[")) {
      out->kind = ModuleExpr::Kind::sequence;
      out->elements = elements();
    } else {
      if (out->model.empty() && out->name == "auto") out->kind = ModuleExpr::Kind::automatic;
      arguments(*out);
      if (accept("with")) out->with = or_expr();
    }
  }
  if (accept("if")) {
    ModuleExpr& choice = arena_.modules.emplace_back();
    choice.kind = ModuleExpr::Kind::choice;
    choice.place = out->place;
    choice.condition = or_expr();
    choice.then = out;
    choice.otherwise = accept("else") ? module_expr() : &arena_.modules.emplace_back();
    out = &choice;
  }
  return out;
}

void Parser::arguments(ModuleExpr& call) {
  if (!accept("(")) return;
  while (!accept(")")) {
    if (peek().kind == TokenKind::name && peek_is("=", 1)) {
      const std::string_view argument = name();
      take();
      call.named.emplace_back(argument, expr());
    } else {
      if (!call.named.empty()) unexpected("a named argument");
      call.positional.push_back(expr());
    }
    if (!peek_is(")")) need(",");
  }
}

std::vector<ModuleExpr::Element> Parser::elements() {
  std::vector<ModuleExpr::Element> out;
  while (!accept("]")) {
    ModuleExpr::Element element;
    element.module = module_expr();
    if (accept("for")) element.loop = loop();
    out.push_back(std::move(element));
    if (!peek_is("]")) need(",");
  }
  return out;
}

}  // namespace bigmodel::spec
