// SPDX-License-Identifier: Apache-2.0
// Tokens -> statement tree: the grammar of section 2 of docs/architecture-language.md.
#pragma once

#include <string_view>
#include <vector>

#include "bigmodel/spec/ast.h"
#include "bigmodel/spec/lexer.h"

namespace bigmodel::spec {

/// Recursive descent over one top-level block of a file. Nesting of expressions and blocks is limited (64 each), so that no
/// input can exhaust the stack. Throws SpecError. One thread; the arena must outlive the results.
class Parser {
 public:
  Parser(Arena& arena, std::vector<Token> tokens) : arena_(arena), tokens_(std::move(tokens)) {}

  /// `arch N`: throws where N is newer than this program.
  void version_line();
  /// A `model` block; its variants are left out (parse_variant reads one by itself).
  Model model();
  /// A top-level class of the prelude.
  ClassDef top_level_class();
  /// One `variant NAME: key = expr, ...` line of the model `parent`.
  Model variant(std::string_view parent);
  /// A whole token list as one expression.
  const Expr* lone_expression();

 private:
  class Nesting;

  const Token& peek(std::size_t ahead = 0) const;
  bool peek_is(std::string_view text, std::size_t ahead = 0) const;
  const Token& take();
  bool accept(std::string_view text);
  const Token& need(std::string_view text);
  const Token& need_kind(TokenKind kind, std::string_view what);
  std::string_view name();
  std::string_view type_name();
  std::vector<std::string_view> names();
  [[noreturn]] void unexpected(std::string_view expected) const;
  template <typename Item>
  void block(const Item& item);

  void section(Model& model);
  Key key();
  std::vector<Param> params();
  ClassDef class_def();

  const Stmt* stmt();
  Body body();
  const Stmt* tensor_stmt(StmtKind kind, const Place& place);
  const Stmt* branch_stmt(const Place& place);
  const Stmt* child();
  const Expr* member_name();
  std::string path(std::vector<const Expr*>* embedded = nullptr);
  Placement placement();
  Loop loop();
  const FormExpr* form();
  int small_integer();
  const ModuleExpr* module_expr();
  std::vector<ModuleExpr::Element> elements();
  void arguments(ModuleExpr& call);

  const Expr* expr();
  const Expr* or_expr();
  const Expr* and_expr();
  const Expr* not_expr();
  const Expr* sum_expr();
  const Expr* term_expr();
  const Expr* unary_expr();
  const Expr* postfix_expr();
  const Expr* atom();
  const Expr* list_or_comprehension(const Place& place);
  const Expr* map_expr(const Place& place);
  struct Embedded;
  std::vector<Embedded> embedded_expressions(const Token& token);
  const Expr* text_expr(const Token& token);
  const Expr* binary(BinaryOp op, const Expr* a, const Expr* b, const Place& place);
  Expr& make(ExprKind kind, const Place& place);
  const Expr* literal(Value value, const Place& place);

  Arena& arena_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace bigmodel::spec
