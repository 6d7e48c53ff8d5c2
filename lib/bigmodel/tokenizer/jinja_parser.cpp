// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_parser.h"

#include <algorithm>
#include <array>
#include <set>

#include "bigmodel/tokenizer/jinja_parser_class.h"
#include "bigmodel/tokenizer/jinja_scope.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr int kMostNesting = 180;

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " or ") + repr_text(name);
  return out;
}

}  // namespace

Parser::Parser(std::string_view source) : lexer_(source) { current_ = lexer_.next(); }

Parser::Nesting::Nesting(Parser& parser) : parser_(parser) {
  if (parser_.nesting_ >= kMostNesting) parser_.fail("nested deeper than " + std::to_string(kMostNesting) + " levels");
  ++parser_.nesting_;
}

void Parser::fail(const std::string& message, Place place, const char* class_name) const { throw JinjaError(class_name, message, place); }

void Parser::fail_expected(const std::string& expected) const {
  if (current_.type == TokenType::eof) fail("unexpected end of template, expected " + repr_text(expected) + ".");
  fail("expected token " + repr_text(expected) + ", got " + repr_text(describe(current_)));
}

Token Parser::take() {
  Token token = std::move(current_);
  if (ahead_.empty()) {
    current_ = lexer_.next();
  } else {
    current_ = std::move(ahead_.front());
    ahead_.erase(ahead_.begin());
  }
  return token;
}

const Token& Parser::look() {
  if (ahead_.empty()) ahead_.push_back(lexer_.next());
  return ahead_.front();
}

bool Parser::skip_name(std::string_view name) {
  if (!current_.is_name(name)) return false;
  take();
  return true;
}

bool Parser::skip_op(std::string_view op) {
  if (!current_.is_op(op)) return false;
  take();
  return true;
}

Token Parser::expect_op(std::string_view op) {
  if (!current_.is_op(op)) fail_expected(std::string(op));
  return take();
}

Token Parser::expect_name(std::string_view name) {
  if (!current_.is_name(name)) fail_expected(std::string(name));
  return take();
}

Token Parser::expect(TokenType type) {
  if (current_.type != type) fail_expected(describe(type));
  return take();
}

void Parser::fail_tag(const std::string* name, const std::vector<EndTags>& ends, Place place) const {
  std::string message = name == nullptr ? "Unexpected end of template." : "Encountered unknown tag " + repr_text(*name) + ".";
  if (!ends.empty()) {
    const bool nested = name != nullptr && std::ranges::any_of(ends, [&](const EndTags& tags) {
      return std::ranges::find(tags, *name) != tags.end();
    });
    message += nested ? " You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for "
                      : " Jinja was looking for the following tags: ";
    message += joined(ends.back()) + ".";
  }
  if (!tags_.empty()) message += " The innermost block that needs to be closed is " + repr_text(tags_.back()) + ".";
  fail(message, place);
}

Body Parser::subparse(const EndTags* ends) {
  const Nesting nesting(*this);
  Body body;
  StmtPtr output;
  if (ends != nullptr) ends_.push_back(*ends);
  const auto piece = [&](Place place) -> OutputPiece& {
    if (output == nullptr) {
      output = statement(StmtKind::output);
      output->place = place;
    }
    return output->pieces.emplace_back();
  };
  while (current_.type != TokenType::eof) {
    if (current_.type == TokenType::data) {
      const Token token = take();
      piece(token.place).data = token.text;
    } else if (current_.type == TokenType::variable_begin) {
      const Place place = take().place;
      ExprPtr expr = parse_tuple();
      piece(place).expr = std::move(expr);
      expect(TokenType::variable_end);
    } else {
      if (output != nullptr) body.push_back(std::move(output));
      take();
      if (ends != nullptr && current_.type == TokenType::name && std::ranges::find(*ends, current_.text) != ends->end()) {
        ends_.pop_back();
        return body;
      }
      body.push_back(parse_statement());
      expect(TokenType::block_end);
    }
  }
  if (output != nullptr) body.push_back(std::move(output));
  if (ends != nullptr) ends_.pop_back();
  return body;
}

Body Parser::parse_statements(const EndTags& ends, bool drop_needle) {
  skip_op(":");
  expect(TokenType::block_end);
  Body body = subparse(&ends);
  if (current_.type == TokenType::eof) {
    std::vector<EndTags> all = ends_;
    all.push_back(ends);
    fail_tag(nullptr, all, current_.place);
  }
  if (drop_needle) take();
  return body;
}

StmtPtr Parser::statement(StmtKind kind) {
  auto stmt = std::make_unique<Stmt>();
  stmt->kind = kind;
  stmt->place = current_.place;
  return stmt;
}

StmtPtr Parser::parse_statement() {
  if (current_.type != TokenType::name) fail("tag name expected");
  const std::string tag = current_.text;
  constexpr std::array<std::string_view, 17> kTags{"for",  "if",         "block", "extends", "print",      "macro", "include", "from",    "import",
                                                  "set",  "with",       "autoescape", "call", "filter", "generation", "break", "continue"};
  if (std::ranges::find(kTags, tag) == kTags.end()) fail_tag(&tag, ends_, current_.place);
  tags_.push_back(tag);
  StmtPtr stmt = parse_known(tag);
  tags_.pop_back();
  return stmt;
}

StmtPtr Parser::parse_known(const std::string& tag) {
  if (tag == "for") return parse_for();
  if (tag == "if") return parse_if();
  if (tag == "set") return parse_set();
  if (tag == "with") return parse_with();
  if (tag == "block") return parse_block();
  if (tag == "macro") return parse_macro();
  if (tag == "call") return parse_call();
  if (tag == "print") return parse_print();
  if (tag == "break" || tag == "continue") {
    StmtPtr stmt = statement(tag == "break" ? StmtKind::break_ : StmtKind::continue_);
    take();
    return stmt;
  }
  if (tag == "autoescape") {
    StmtPtr stmt = statement(StmtKind::autoescape);
    take();
    stmt->test = parse_expression();
    stmt->body = parse_statements({"endautoescape"}, true);
    return stmt;
  }
  if (tag == "filter") {
    StmtPtr stmt = statement(StmtKind::filter_block);
    take();
    stmt->value = parse_filter(nullptr, true);
    stmt->body = parse_statements({"endfilter"}, true);
    return stmt;
  }
  if (tag == "generation") {
    StmtPtr stmt = statement(StmtKind::generation);
    take();
    stmt->function = std::make_unique<Function>();
    stmt->function->body = parse_statements({"endgeneration"}, true);
    return stmt;
  }
  return parse_load(tag);
}

StmtPtr Parser::parse_for() {
  StmtPtr stmt = statement(StmtKind::for_);
  expect_name("for");
  stmt->target = parse_target(true, "in", false);
  expect_name("in");
  stmt->value = parse_tuple(false, "recursive");
  if (skip_name("if")) stmt->test = parse_expression();
  stmt->recursive = skip_name("recursive");
  stmt->body = parse_statements({"endfor", "else"}, false);
  if (take().text == "else") stmt->else_body = parse_statements({"endfor"}, true);
  return stmt;
}

StmtPtr Parser::parse_if() {
  StmtPtr stmt = statement(StmtKind::if_);
  expect_name("if");
  while (true) {
    ExprPtr test = parse_tuple(false);
    Body body = parse_statements({"elif", "else", "endif"}, false);
    stmt->branches.emplace_back(std::move(test), std::move(body));
    const std::string end = take().text;
    if (end == "elif") continue;
    if (end == "else") stmt->else_body = parse_statements({"endif"}, true);
    return stmt;
  }
}

StmtPtr Parser::parse_set() {
  StmtPtr stmt = statement(StmtKind::set);
  take();
  stmt->target = parse_target(true, nullptr, true);
  if (skip_op("=")) {
    stmt->value = parse_tuple();
    return stmt;
  }
  stmt->kind = StmtKind::set_block;
  stmt->value = parse_filter(nullptr);
  stmt->body = parse_statements({"endset"}, true);
  return stmt;
}

StmtPtr Parser::parse_with() {
  StmtPtr stmt = statement(StmtKind::with);
  take();
  while (current_.type != TokenType::block_end) {
    if (!stmt->targets.empty()) expect_op(",");
    stmt->targets.push_back(parse_target(true, nullptr, false));
    expect_op("=");
    stmt->values.push_back(parse_expression());
  }
  stmt->body = parse_statements({"endwith"}, true);
  return stmt;
}

StmtPtr Parser::parse_block() {
  StmtPtr stmt = statement(StmtKind::block);
  take();
  stmt->name = expect(TokenType::name).text;
  stmt->scoped = skip_name("scoped");
  stmt->required = skip_name("required");
  if (current_.is_op("-")) {
    fail("Block names in Jinja have to be valid Python identifiers and may not contain hyphens, use an underscore instead.");
  }
  stmt->function = std::make_unique<Function>();
  stmt->function->body = parse_statements({"endblock"}, true);
  if (stmt->required) {
    for (const StmtPtr& inner : stmt->function->body) {
      const bool blank = inner->kind == StmtKind::output && std::ranges::all_of(inner->pieces, [](const OutputPiece& piece) {
        return piece.expr == nullptr && std::ranges::all_of(decode(piece.data), is_space);
      });
      if (!blank) fail("Required blocks can only contain comments or whitespace");
    }
  }
  skip_name(stmt->name);
  return stmt;
}

void Parser::parse_signature(Function& function) {
  expect_op("(");
  while (!current_.is_op(")")) {
    if (!function.parameters.empty()) expect_op(",");
    function.parameters.push_back(parse_target_name());
    if (skip_op("=")) {
      function.defaults.push_back(parse_expression());
    } else if (!function.defaults.empty()) {
      fail("non-default argument follows default argument");
    }
  }
  expect_op(")");
}

StmtPtr Parser::parse_macro() {
  StmtPtr stmt = statement(StmtKind::macro);
  take();
  stmt->name = parse_target_name();
  stmt->function = std::make_unique<Function>();
  stmt->function->name = stmt->name;
  parse_signature(*stmt->function);
  stmt->function->body = parse_statements({"endmacro"}, true);
  return stmt;
}

StmtPtr Parser::parse_call() {
  StmtPtr stmt = statement(StmtKind::call_block);
  take();
  stmt->function = std::make_unique<Function>();
  if (current_.is_op("(")) parse_signature(*stmt->function);
  stmt->value = parse_expression();
  if (stmt->value->kind != ExprKind::call) fail("expected call", stmt->place);
  stmt->function->body = parse_statements({"endcall"}, true);
  return stmt;
}

StmtPtr Parser::parse_print() {
  StmtPtr stmt = statement(StmtKind::output);
  take();
  while (current_.type != TokenType::block_end) {
    if (!stmt->pieces.empty()) expect_op(",");
    stmt->pieces.emplace_back().expr = parse_expression();
  }
  return stmt;
}

void Parser::parse_import_context() {
  if ((current_.is_name("with") || current_.is_name("without")) && look().is_name("context")) {
    take();
    take();
  }
}

/// include, import, from, extends: parsed in full, so that their mistakes are found; there is nothing to load when they run.
StmtPtr Parser::parse_load(const std::string& tag) {
  StmtPtr stmt = statement(StmtKind::load_template);
  stmt->name = tag;
  take();
  stmt->value = parse_expression();
  if (tag == "include") {
    if (current_.is_name("ignore") && look().is_name("missing")) {
      take();
      take();
    }
    parse_import_context();
  } else if (tag == "import") {
    expect_name("as");
    stmt->names.push_back(parse_target_name());
    parse_import_context();
  } else if (tag == "from") {
    expect_name("import");
    while (true) {
      if (!stmt->names.empty()) expect_op(",");
      if (current_.type != TokenType::name) fail_expected("name");
      if ((current_.is_name("with") || current_.is_name("without")) && look().is_name("context")) {
        parse_import_context();
        break;
      }
      const Place place = current_.place;
      std::string name = parse_target_name();
      if (name.starts_with("_")) fail("names starting with an underline can not be imported", place, "TemplateAssertionError");
      if (skip_name("as")) name = parse_target_name();
      stmt->names.push_back(std::move(name));
      if ((current_.is_name("with") || current_.is_name("without")) && look().is_name("context")) {
        parse_import_context();
        break;
      }
      if (!current_.is_op(",")) break;
    }
  }
  return stmt;
}

TemplateTree parse_template(std::string_view source) {
  TemplateTree tree;
  tree.root.body = Parser(source).parse_all();
  resolve_names(tree);
  return tree;
}

}  // namespace bigmodel::tokenizer::jinja
