// SPDX-License-Identifier: Apache-2.0
// The recursive-descent parser behind jinja_parser.h: expressions in jinja_parser_expressions.cpp, statements in jinja_parser.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/jinja_ast.h"
#include "bigmodel/tokenizer/jinja_lexer.h"

namespace bigmodel::tokenizer::jinja {

class Parser {
 public:
  explicit Parser(std::string_view source);
  Body parse_all() { return subparse(nullptr); }

 private:
  using EndTags = std::vector<std::string>;

  // The stream.
  Token take();
  const Token& look();
  bool skip_name(std::string_view name);
  bool skip_op(std::string_view op);
  Token expect_op(std::string_view op);
  Token expect_name(std::string_view name);
  Token expect(TokenType type);
  [[noreturn]] void fail(const std::string& message, Place place, const char* class_name = "TemplateSyntaxError") const;
  [[noreturn]] void fail(const std::string& message) const { fail(message, current_.place); }
  [[noreturn]] void fail_expected(const std::string& expected) const;
  [[noreturn]] void fail_tag(const std::string* name, const std::vector<EndTags>& ends, Place place) const;

  // Statements.
  Body subparse(const EndTags* ends);
  Body parse_statements(const EndTags& ends, bool drop_needle);
  StmtPtr parse_statement();
  StmtPtr parse_known(const std::string& tag);
  StmtPtr statement(StmtKind kind);
  StmtPtr parse_for();
  StmtPtr parse_if();
  StmtPtr parse_set();
  StmtPtr parse_with();
  StmtPtr parse_block();
  StmtPtr parse_macro();
  StmtPtr parse_call();
  StmtPtr parse_load(const std::string& tag);
  StmtPtr parse_print();
  void parse_signature(Function& function);
  void parse_import_context();

  // Expressions.
  ExprPtr node(ExprKind kind, Place place) const;
  ExprPtr grown(ExprPtr expr) const;  ///< with its height, which is bounded
  ExprPtr parse_target(bool with_tuple, const char* end_name, bool with_namespace);
  std::string parse_target_name();
  void make_target(Expr& expr) const;
  ExprPtr parse_expression(bool with_condition = true);
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_pow();
  ExprPtr parse_unary(bool with_filter = true);
  ExprPtr parse_primary(bool with_namespace = false);
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filter_expr(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr object);
  ExprPtr parse_subscribed();
  ExprPtr parse_call_on(ExprPtr callee);
  void parse_arguments(Expr& call);
  ExprPtr parse_filter(ExprPtr object, bool start_inline = false);
  ExprPtr parse_test(ExprPtr object);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_tuple(bool with_condition = true, const char* end_name = nullptr, bool parentheses = false, bool simplified = false,
                      bool with_namespace = false);
  ExprPtr binary(ExprKind kind, Place place, ExprPtr left, ExprPtr right) const;

  /// One level of recursion, bounded so that no template overflows the stack.
  class Nesting {
   public:
    explicit Nesting(Parser& parser);
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  Lexer lexer_;
  Token current_;
  std::vector<Token> ahead_;
  std::vector<std::string> tags_;
  std::vector<EndTags> ends_;
  int nesting_ = 0;
};

}  // namespace bigmodel::tokenizer::jinja
