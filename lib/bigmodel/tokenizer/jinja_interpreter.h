// SPDX-License-Identifier: Apache-2.0
// Runs a parsed template: statements write text, expressions make values. Scopes, loops, macros and blocks behave as Jinja's compiled
// Python does, quirks included; every node costs a step, and recursion of any kind is bounded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/tokenizer/jinja_ast.h"
#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

/// The variables that names are looked up in where no scope assigns them: what the template set at its top level, then the caller's.
struct Context {
  Dict vars;
  Dict given;
  const Value* find(const std::string& name) const;
};

/// The variables of one call of a Function.
struct Frame {
  std::vector<Value> slots;
  std::shared_ptr<Frame> up;
  std::shared_ptr<Context> context;
  bool captured = false;  ///< an object holds it: emptied when the rendering ends
};
using FramePtr = std::shared_ptr<Frame>;

/// Text that is being written: the rendering itself, or what a block collects.
class Output {
 public:
  void add(Machine& machine, std::string_view more);
  const std::string& text() const { return text_; }
  std::string take() { return std::move(text_); }
  /// So far. Linear in what came since the last call.
  std::int64_t code_points();

 private:
  std::string text_;
  std::size_t counted_bytes_ = 0;
  std::int64_t counted_ = 0;
};

class Interpreter {
 public:
  Interpreter(Machine& machine, const TemplateTree& tree, Dict given);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  /// Throws JinjaError with the place of the innermost node that failed.
  std::string run();
  /// [begin, end) in code points of the text, in the order in which the generation blocks ended.
  const std::vector<std::pair<std::int64_t, std::int64_t>>& generation() const { return generation_; }

  // For the objects that templates hold.
  Value call_macro(const Function& function, const FramePtr& outer, Arguments arguments);
  Value call_block(const Function& block, const std::shared_ptr<Context>& context);
  Value call_loop(const Stmt& loop, const FramePtr& frame, Value iterable, std::int64_t depth);
  const Function* block(std::string_view name) const;

 private:
  enum class Flow : std::uint8_t { next, break_, continue_ };
  /// One level of the interpreter's own recursion, so that no template overflows the stack.
  class Level;

  // Statements.
  Flow run_body(const Body& body, const FramePtr& frame, Output& out);
  Flow run_statement(const Stmt& s, const FramePtr& frame, Output& out);
  Flow run_branches(const Stmt& s, const FramePtr& frame, Output& out);
  void run_output(const Stmt& s, const FramePtr& frame, Output& out);
  void run_for(const Stmt& s, const FramePtr& frame, Value iterable, std::int64_t depth, Output& out);
  void run_set(const Stmt& s, const FramePtr& frame);
  void run_set_block(const Stmt& s, const FramePtr& frame);
  void run_filter_block(const Stmt& s, const FramePtr& frame, Output& out);
  Flow run_with(const Stmt& s, const FramePtr& frame, Output& out);
  Flow run_autoescape(const Stmt& s, const FramePtr& frame, Output& out);
  void run_block(const Stmt& s, const FramePtr& frame, Output& out);
  void run_generation(const Stmt& s, const FramePtr& frame, Output& out);
  void run_call_block(const Stmt& s, const FramePtr& frame, Output& out);
  void run_macro(const Stmt& s, const FramePtr& frame);
  void run_block_body(const Function& block, const std::shared_ptr<Context>& context, Output& out);
  void write(const Value& value, Output& out);
  Value filtered(const Stmt& s, const FramePtr& frame);

  // Variables.
  FramePtr make_frame(const Function& function, FramePtr up, std::shared_ptr<Context> context);
  void capture(const FramePtr& frame);
  void enter(const ScopeLoads& loads, Frame& frame);
  void leave(const ScopeLoads& loads, Frame& frame);
  static Value& slot(const SlotRef& ref, Frame& frame);
  void assign(const Expr& target, Value value, Frame& frame);
  void check_namespaces(const Expr& target, Frame& frame);
  void export_names(const Expr& target, Frame& frame);
  Value target_value(const Expr& target, Frame& frame);

  // Expressions.
  Value eval(const Expr& e, const FramePtr& frame);
  Value eval_node(const Expr& e, const FramePtr& frame);
  Value eval_items(const Expr& e, const FramePtr& frame);
  Value eval_dict(const Expr& e, const FramePtr& frame);
  Value eval_getitem(const Expr& e, const FramePtr& frame);
  Value eval_call(const Expr& e, const FramePtr& frame, const Value* caller);
  Value eval_filter(const Expr& e, const FramePtr& frame);
  Value eval_test(const Expr& e, const FramePtr& frame);
  Value eval_concat(const Expr& e, const FramePtr& frame);
  Value eval_compare(const Expr& e, const FramePtr& frame);
  Value eval_binary(const Expr& e, const FramePtr& frame);
  Value eval_conditional(const Expr& e, const FramePtr& frame);
  void eval_arguments(const Expr& e, const FramePtr& frame, Arguments& arguments);

  Machine& machine_;
  const TemplateTree& tree_;
  std::shared_ptr<Context> context_;
  Output output_;
  std::vector<std::pair<std::int64_t, std::int64_t>> generation_;
  const Value* piped_ = nullptr;  ///< what a filter without an object is applied to
  std::uint32_t levels_ = 0;

  friend class Level;
};

class Interpreter::Level {
 public:
  explicit Level(Interpreter& interpreter) : interpreter_(interpreter) {
    if (++interpreter_.levels_ > kMost) {
      --interpreter_.levels_;
      throw JinjaError("RecursionError", "maximum recursion depth exceeded");
    }
  }
  ~Level() { --interpreter_.levels_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  static constexpr std::uint32_t kMost = 4000;
  Interpreter& interpreter_;
};

}  // namespace bigmodel::tokenizer::jinja
