// SPDX-License-Identifier: Apache-2.0
// The statement tree of descriptions. Nodes live in an arena of the library and are immutable once parsed;
// names are views into the source text.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/spec/source.h"
#include "bigmodel/spec/value.h"

namespace bigmodel::spec {

enum class ExprKind : std::uint8_t {
  literal,        ///< value
  variable,       ///< name
  text,           ///< "a{b}": kids are the pieces
  list,           ///< kids
  map,            ///< keys, kids
  conditional,    ///< kids: condition, then, else
  coalesce,       ///< kids: a ?? b
  logical_not,    ///< kids: a
  negate,         ///< kids: a
  member,         ///< name: path after the point
  comprehension,  ///< name: variable; loop; kids: element, (filter)
  attribute,      ///< kids: object; name
  index,          ///< kids: object, index
  call,           ///< name, kids
  binary,         ///< op, kids: a, b
};

enum class BinaryOp : std::uint8_t { add, sub, mul, div, floor_div, mod, eq, ne, lt, le, gt, ge, in, logical_and, logical_or };

struct Expr;

/// `name < n`, `name in a .. b` or `name in list`.
struct Loop {
  std::string_view name;
  const Expr* from = nullptr;  ///< null: `list` holds the values (or a count)
  const Expr* to = nullptr;
  const Expr* list = nullptr;
  Place place;
};

struct Expr {
  ExprKind kind = ExprKind::literal;
  BinaryOp op = BinaryOp::add;
  Place place;
  std::string_view name;
  Value value;
  std::vector<const Expr*> kids;
  std::vector<std::string> keys;
  Loop loop;
};

/// name(args), Container[elements], auto(config), none, or a choice of two.
struct ModuleExpr {
  enum class Kind : std::uint8_t { none, call, automatic, sequence, choice };
  struct Element {
    const ModuleExpr* module = nullptr;
    std::optional<Loop> loop;
  };
  Kind kind = Kind::none;
  Place place;
  std::string_view model;   ///< call: the type before the point, or empty
  std::string_view name;    ///< call: class; sequence: container class
  std::vector<const Expr*> positional;
  std::vector<std::pair<std::string_view, const Expr*>> named;
  const Expr* with = nullptr;
  std::vector<Element> elements;
  const Expr* condition = nullptr;          ///< choice
  const ModuleExpr* then = nullptr;
  const ModuleExpr* otherwise = nullptr;
};

/// On-disk form of a tensor or subtree.
struct FormExpr {
  enum class Kind : std::uint8_t { name, absent, concat, stack, transpose, part };
  Kind kind = Kind::name;
  const Expr* name = nullptr;
  int axis = 0, index = 0, count = 1;
  const Expr* sizes = nullptr;              ///< concat, part: a list of sizes along the axis instead of equal pieces
  Loop loop;
  std::vector<const FormExpr*> forms;
};

struct Placement {
  enum class Kind : std::uint8_t { none, first, after, before };
  Kind kind = Kind::none;
  std::string_view member;
};

enum class StmtKind : std::uint8_t { let, param, buffer, child, remove, rename, branch, loop, tie, nosplit, disk, block };

struct Stmt;
using Body = std::vector<const Stmt*>;

struct Stmt {
  StmtKind kind = StmtKind::let;
  Place place;
  const Expr* name = nullptr;               ///< param, buffer, child: literal or computed
  std::string_view word;                    ///< let: name; remove: member; block: kind; rename: new name
  std::string path, other;                  ///< tie: dst, src; disk: path; rename: old name
  std::vector<const Expr*> path_embedded, other_embedded;  ///< tie, disk: the {expr} of path and other, in order
  const Expr* value = nullptr;              ///< let
  std::vector<const Expr*> dims;            ///< param, buffer
  std::optional<DType> dtype;
  bool unsaved = false;
  const Expr* condition = nullptr;          ///< param, buffer, tie, disk
  Placement placement;
  const ModuleExpr* module = nullptr;       ///< child
  bool has_body = false;                    ///< child: an inline class
  Body body;                                ///< child, loop
  Loop range;                               ///< loop
  std::vector<std::pair<const Expr*, Body>> arms;  ///< branch; a null condition is `else`
  std::vector<std::string_view> names;      ///< nosplit
  const FormExpr* form = nullptr;           ///< disk
  bool legacy = false;
  std::vector<std::pair<std::string_view, const Expr*>> properties;  ///< block
};

/// The literal name of a param, buffer or child; nullopt where it is computed.
std::optional<std::string_view> literal_name(const Stmt& stmt);
inline bool is_member(const Stmt& stmt) {
  return stmt.kind == StmtKind::param || stmt.kind == StmtKind::buffer || stmt.kind == StmtKind::child;
}

struct Param {
  std::string_view name;
  const Expr* fallback = nullptr;
};

struct Model;

struct ClassDef {
  std::string_view name;
  Place place;
  bool is_new = false, entry = false;
  std::optional<std::vector<Param>> params;
  std::string_view base_model, base;        ///< `: other.X` or `: X`; empty without
  const Expr* alias = nullptr;
  Body body;
};

/// A config line.
struct Key {
  std::string_view name;
  Place place;
  std::vector<std::string_view> aka;
  std::string_view type;                    ///< nested config
  bool any = false, derived = false, required = false;
  const Expr* fallback_absent = nullptr;    ///< `= e` (or `let k = e`)
  const Expr* fallback_null = nullptr;      ///< `?? e`
  const Expr* supplied = nullptr;           ///< `over {...}`: what a composite puts below a nested config, where its file is silent
  const Expr* imposed = nullptr;            ///< `with {...}`: what a composite writes into a nested config
};

struct Def {
  std::string_view name;
  Place place;
  std::vector<Param> params;
  const Expr* value = nullptr;
};

struct Model {
  std::string_view name;
  Place place;
  bool abstract = false;
  std::vector<std::string_view> parents;
  std::optional<std::string_view> prefix;
  std::vector<Key> config;
  std::vector<Def> defs;
  std::vector<ClassDef> classes;
  std::vector<std::pair<std::string_view, std::string_view>> uses;  ///< class, model it comes from
  std::optional<std::string_view> base;
  std::optional<std::vector<std::string_view>> nosplit;
  std::optional<std::vector<std::string_view>> fp32;
};

/// Owns all nodes; addresses are stable.
struct Arena {
  std::deque<Expr> exprs;
  std::deque<ModuleExpr> modules;
  std::deque<FormExpr> forms;
  std::deque<Stmt> stmts;
  std::deque<Model> models;
};

}  // namespace bigmodel::spec
