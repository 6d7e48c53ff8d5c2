// SPDX-License-Identifier: Apache-2.0
// What statements put into variables: macros, the `loop` of a for statement, and `self` with a template's blocks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/jinja_interpreter.h"

namespace bigmodel::tokenizer::jinja {

/// A macro, or the `caller` of a call block (which has no name).
class Macro : public Object {
 public:
  Macro(Interpreter& interpreter, const Function& function, FramePtr outer)
      : interpreter_(interpreter), function_(function), outer_(std::move(outer)) {}
  std::string type_name() const override { return "Macro"; }
  std::string described() const override { return "jinja2.runtime.Macro object"; }
  std::string repr(Machine&) const override;
  bool callable() const override { return true; }
  Value call(Machine& machine, Arguments arguments) override;
  std::optional<Value> attribute(std::string_view name) override;

 private:
  Interpreter& interpreter_;
  const Function& function_;
  FramePtr outer_;
};

/// `loop`.
class LoopContext : public Object {
 public:
  /// `recursive` is null unless the for statement is marked so. Throws TypeError for what cannot be iterated.
  LoopContext(Interpreter& interpreter, Machine& machine, Value iterable, std::int64_t depth0, const Stmt* recursive, FramePtr frame);
  std::optional<Value> next();

  std::string type_name() const override { return "LoopContext"; }
  std::string described() const override { return "jinja2.runtime.LoopContext object"; }
  std::string repr(Machine& machine) const override;
  bool callable() const override { return true; }
  Value call(Machine& machine, Arguments arguments) override;
  std::optional<Value> attribute(std::string_view name) override;
  std::optional<std::int64_t> length(Machine& machine) override;
  std::unique_ptr<Iterator> iterate() override;
  std::uint32_t depth() const override { return iterable_.depth() + 1; }

  Value cycle(const Arguments& arguments) const;
  Value changed(Arguments arguments);

 private:
  const std::optional<Value>& peek();

  Interpreter& interpreter_;
  Machine& machine_;
  Value iterable_;
  std::unique_ptr<Iterator> it_;
  std::int64_t depth0_;
  const Stmt* recursive_;
  FramePtr frame_;
  std::int64_t index0_ = -1;
  std::optional<std::int64_t> length_;
  bool peeked_ = false;
  std::optional<Value> after_;  ///< once peeked_; nullopt = there is none
  Value current_ = Value::missing();
  Value before_ = Value::missing();
  Value last_changed_ = Value::missing();
};

/// `self`: its items are the template's blocks.
class TemplateReference : public Object {
 public:
  TemplateReference(Interpreter& interpreter, std::shared_ptr<Context> context)
      : interpreter_(interpreter), context_(std::move(context)) {}
  std::string type_name() const override { return "TemplateReference"; }
  std::string described() const override { return "jinja2.runtime.TemplateReference object"; }
  std::string repr(Machine&) const override { return "<TemplateReference None>"; }
  bool subscriptable() const override { return true; }
  std::optional<Value> item(Machine& machine, const Value& key) override;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Context> context_;
};

}  // namespace bigmodel::tokenizer::jinja
