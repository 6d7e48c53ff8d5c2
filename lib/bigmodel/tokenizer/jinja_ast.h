// SPDX-License-Identifier: Apache-2.0
// A parsed template: expressions and statements, names already resolved to slots of the function they live in.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

/// A variable: `up` functions outwards, then the slot.
struct SlotRef {
  std::uint32_t up = 0;
  std::uint32_t slot = 0;
};

/// What entering a scope does to one of its slots.
struct SlotLoad {
  enum class Kind : std::uint8_t { parameter, resolve, alias, unset };
  Kind kind = Kind::unset;
  std::uint32_t slot = 0;
  SlotRef outer;      ///< alias
  std::string name;   ///< resolve
};
using ScopeLoads = std::vector<SlotLoad>;

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

enum class ExprKind : std::uint8_t {
  constant, name, ns_ref, list, tuple, dict, getattr, getitem, slice, call, filter, test,
  negate, plus, not_, and_, or_, add, sub, mul, div, floordiv, mod, pow, concat, compare, conditional,
};

enum class CompareOp : std::uint8_t { eq, ne, lt, lteq, gt, gteq, in, notin };

struct Expr {
  ExprKind kind = ExprKind::constant;
  bool store = false;         ///< name, ns_ref: a target
  bool hard = false;          ///< filter, test: an unknown name is an error of the template, not of the run
  Place place;
  std::uint32_t height = 1;
  Value constant;
  std::string name;           ///< name, ns_ref, getattr, filter, test
  std::string attribute;      ///< ns_ref
  SlotRef ref;                ///< name, ns_ref
  /// Operands, items; dict: key, value, key, value ...; getattr, call, filter, test: the object first (filter: may be null);
  /// slice: begin, end, step (each may be null); conditional: test, then, otherwise (may be null).
  std::vector<ExprPtr> items;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  std::vector<CompareOp> compares;
  ExprPtr dynamic_args;
  ExprPtr dynamic_keywords;
};

enum class StmtKind : std::uint8_t {
  output, if_, for_, set, set_block, macro, call_block, filter_block, with, block, autoescape, generation, load_template,
  break_, continue_,
};

/// The body of a macro, a call block, a recursive loop, a block, or the template itself: a frame of slots at run time.
struct Function {
  std::uint32_t slots = 0;
  std::string name;                        ///< of a macro; empty for call blocks
  std::vector<std::string> parameters;
  std::vector<std::uint32_t> parameter_slots;
  std::vector<ExprPtr> defaults;           ///< of the last parameters
  bool uses_caller = false;
  bool uses_keywords = false;
  bool uses_varargs = false;
  std::uint32_t caller_slot = 0;
  std::uint32_t keywords_slot = 0;
  std::uint32_t varargs_slot = 0;
  std::uint32_t self_slot = 0;
  std::uint32_t super_slot = 0;
  bool uses_self = false;
  bool uses_super = false;
  ScopeLoads loads;
  Body body;
};

struct OutputPiece {
  std::string data;   ///< template text, where expr is null
  ExprPtr expr;
};

struct Stmt {
  StmtKind kind = StmtKind::output;
  Place place;
  std::vector<OutputPiece> pieces;       ///< output
  ExprPtr test;                          ///< if_; for_: the filter; autoescape: its mode
  ExprPtr target;                        ///< for_, set, set_block
  ExprPtr value;                         ///< set, for_ (what is iterated), call_block, filter_block (the filter), load_template
  std::vector<ExprPtr> targets;          ///< with
  std::vector<ExprPtr> values;
  std::vector<std::pair<ExprPtr, Body>> branches;  ///< if_: with every elif
  Body body;
  Body else_body;
  ScopeLoads loads;                      ///< of the body's scope
  ScopeLoads else_loads;
  ScopeLoads test_loads;
  ExprPtr test_target;                   ///< for_ with a filter: the target in the filter's own slots
  bool extended = false;                 ///< for_: `loop` is seen
  bool recursive = false;
  std::uint32_t loop_slot = 0;
  bool toplevel = false;                 ///< set, macro: also seen by blocks
  bool scoped = false;                   ///< block
  bool required = false;
  SlotRef ref;                           ///< macro: where it is stored
  std::string name;                      ///< macro, block, imported name
  std::vector<std::string> names;        ///< scoped block: names of the scope around it ...
  std::vector<SlotRef> name_refs;        ///< ... and where they are
  std::unique_ptr<Function> function;    ///< macro, call_block, generation, recursive for_
};

struct TemplateTree {
  Function root;
  std::vector<std::pair<std::string, std::unique_ptr<Function>>> blocks;
};

}  // namespace bigmodel::tokenizer::jinja
