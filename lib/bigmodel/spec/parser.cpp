// SPDX-License-Identifier: Apache-2.0
// Models, config lines and classes; statements are in parser_statements.cpp, expressions in parser_expressions.cpp.
#include "bigmodel/spec/parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/suggestion.h"
#include "bigmodel/spec/parser_nesting.h"

namespace bigmodel::spec {

const Token& Parser::peek(std::size_t ahead) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }

bool Parser::peek_is(std::string_view text, std::size_t ahead) const {
  const Token& token = peek(ahead);
  return (token.kind == TokenKind::op || token.kind == TokenKind::name) && token.text == text;
}

const Token& Parser::take() {
  const Token& token = peek();
  if (at_ < tokens_.size() - 1) ++at_;
  return token;
}

bool Parser::accept(std::string_view text) {
  if (!peek_is(text)) return false;
  take();
  return true;
}

void Parser::unexpected(std::string_view expected) const {
  const Token& token = peek();
  std::string got;
  switch (token.kind) {
    case TokenKind::newline: got = "the end of the line"; break;
    case TokenKind::indent: got = "an indented line"; break;
    case TokenKind::dedent: got = "the end of the block"; break;
    case TokenKind::end: got = "the end of the text"; break;
    default: got = fmt::format("'{}'", token.text.substr(0, 40));
  }
  throw SpecError(fmt::format("expected {}, got {}", expected, got), token.place);
}

const Token& Parser::need(std::string_view text) {
  if (!peek_is(text)) unexpected(fmt::format("'{}'", text));
  return take();
}

const Token& Parser::need_kind(TokenKind kind, std::string_view what) {
  if (peek().kind != kind) unexpected(what);
  return take();
}

std::string_view Parser::name() { return need_kind(TokenKind::name, "a name").text; }

std::string_view Parser::type_name() {
  if (peek().kind != TokenKind::name && peek().kind != TokenKind::string) unexpected("a model type");
  return take().text;
}

std::vector<std::string_view> Parser::names() {
  std::vector<std::string_view> out{name()};
  while (accept(",")) out.push_back(name());
  return out;
}

template <typename Item>
void Parser::block(const Item& item) {
  need_kind(TokenKind::newline, "the end of the line");
  if (peek().kind != TokenKind::indent) return;
  take();
  while (peek().kind != TokenKind::dedent && peek().kind != TokenKind::end) item();
  if (peek().kind == TokenKind::dedent) take();
}

void Parser::version_line() {
  need("arch");
  const Token& version = need_kind(TokenKind::integer, "the language version");
  if (version.text != "1") {
    throw SpecError(fmt::format("language version {} is not supported, expected 1", version.text), version.place,
                    "use a newer bigmodel");
  }
}

Model Parser::model() {
  Model out;
  out.abstract = accept("abstract");
  out.place = need("model").place;
  out.name = type_name();
  if (accept(":")) {
    do out.parents.push_back(type_name());
    while (accept(","));
  }
  if (accept("as")) out.prefix = name();
  block([&] { section(out); });
  if (peek().kind != TokenKind::end) unexpected("a section of the model");
  return out;
}

ClassDef Parser::top_level_class() {
  ClassDef out = class_def();
  if (peek().kind != TokenKind::end) unexpected("the end of the class");
  return out;
}

Model Parser::variant(std::string_view parent) {
  Model out;
  if (peek().kind == TokenKind::indent) take();
  out.place = need("variant").place;
  out.name = type_name();
  out.parents.push_back(parent);
  if (accept(":")) {
    do {
      Key line;
      const Token& token = need_kind(TokenKind::name, "a config key");
      line.name = token.text;
      line.place = token.place;
      need("=");
      line.fallback_absent = or_expr();
      out.config.push_back(std::move(line));
    } while (accept(","));
  }
  need_kind(TokenKind::newline, "the end of the line");
  return out;
}

void Parser::section(Model& model) {
  if (accept("config")) {
    block([&] { model.config.push_back(key()); });
  } else if (accept("def")) {
    Def def;
    def.place = peek().place;
    def.name = name();
    def.params = params();
    need("=");
    def.value = expr();
    need_kind(TokenKind::newline, "the end of the line");
    model.defs.push_back(std::move(def));
  } else if (accept("base")) {
    model.base = name();
    need_kind(TokenKind::newline, "the end of the line");
  } else if (accept("nosplit")) {
    model.nosplit = accept("none") ? std::vector<std::string_view>{} : names();
    need_kind(TokenKind::newline, "the end of the line");
  } else if (accept("fp32")) {
    model.fp32 = names();
    need_kind(TokenKind::newline, "the end of the line");
  } else if (accept("use")) {
    const std::vector<std::string_view> classes = names();
    need("from");
    const std::string_view from = type_name();
    for (const std::string_view used : classes) model.uses.emplace_back(used, from);
    need_kind(TokenKind::newline, "the end of the line");
  } else if (accept("variant")) {
    // Variants are found through the library's index and read one at a time: a family may have hundreds.
    while (peek().kind != TokenKind::newline && peek().kind != TokenKind::end) take();
    need_kind(TokenKind::newline, "the end of the line");
  } else {
    ClassDef def = class_def();
    const auto same = [&def](const ClassDef& other) { return other.name == def.name; };
    if (std::ranges::any_of(model.classes, same)) {
      throw SpecError(fmt::format("class {} is defined twice in this model", def.name), def.place);
    }
    model.classes.push_back(std::move(def));
  }
}

Key Parser::key() {
  Key out;
  out.derived = accept("let");
  const Token& token = need_kind(TokenKind::name, "a config key");
  out.name = token.text;
  out.place = token.place;
  if (accept("aka")) out.aka = names();
  if (accept(":")) {
    out.any = accept("any");
    out.type = type_name();
    if (accept("over")) out.supplied = or_expr();
    if (accept("with")) out.imposed = or_expr();
  }
  if (accept("?=")) {
    out.fallback_absent = literal(Value{}, token.place);
    out.fallback_null = expr();
  } else if (accept("=")) {
    if (accept("required")) {
      out.required = true;
    } else {
      out.fallback_absent = out.derived ? expr() : or_expr();
    }
    if (!out.derived && accept("??")) out.fallback_null = expr();
  } else if (out.derived) {
    unexpected("'='");
  }
  need_kind(TokenKind::newline, "the end of the line");
  return out;
}

std::vector<Param> Parser::params() {
  std::vector<Param> out;
  if (!accept("(")) return out;
  while (!accept(")")) {
    Param param;
    param.name = name();
    if (accept("=")) param.fallback = expr();
    out.push_back(param);
    if (!peek_is(")")) need(",");
  }
  return out;
}

ClassDef Parser::class_def() {
  ClassDef out;
  out.is_new = accept("new");
  if (!peek_is("class") && !peek_is("entry")) {
    const Token& token = peek();
    static const std::vector<std::string> kSections{"config", "class", "entry", "def", "use", "base", "nosplit", "fp32", "variant", "new"};
    throw SpecError(fmt::format("expected config, class, entry, def, use, base, nosplit, fp32 or variant, got '{}'", token.text.substr(0, 40)),
                    token.place, did_you_mean(token.text, kSections));
  }
  out.entry = take().text == "entry";
  const Token& token = need_kind(TokenKind::name, "a class name");
  out.name = token.text;
  out.place = token.place;
  if (peek_is("(")) out.params = params();
  if (accept(":")) {
    out.base = type_name();
    if (accept(".")) {
      out.base_model = out.base;
      out.base = name();
    }
  }
  if (accept("as")) out.alias = expr();
  out.body = body();
  return out;
}

Body Parser::body() {
  const Nesting nesting(*this);
  Body out;
  block([&] { out.push_back(stmt()); });
  return out;
}

}  // namespace bigmodel::spec
