// SPDX-License-Identifier: Apache-2.0
// Python's operators, subscripts and attribute look-ups on template values, with Python's messages; attributes as Jinja's
// immutable sandbox allows them.
#pragma once

#include <string_view>

#include "bigmodel/tokenizer/jinja_ast.h"
#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

/// + - * / // % **
Value arithmetic(Machine& machine, ExprKind op, const Value& a, const Value& b);
Value negate(const Value& value, bool minus);
bool compare(Machine& machine, CompareOp op, const Value& a, const Value& b);
bool less(Machine& machine, const Value& a, const Value& b);
bool contains(Machine& machine, const Value& container, const Value& item);

/// A Python index: int or bool; nullopt for others.
std::int64_t clamp_index(Int value);
Value slice(Machine& machine, const Value& object, const Value& begin, const Value& end, const Value& step);
/// Positions that a slice takes of `length` items. Throws ValueError for a step of 0, TypeError for bounds that are no integers.
std::vector<std::int64_t> slice_positions(Machine& machine, std::int64_t length, const Value& begin, const Value& end, const Value& step);

/// `object.name`: the attribute, else the item, else undefined.
Value get_attribute(Machine& machine, const Value& object, std::string_view name);
/// `object[key]`: the item, else the attribute, else undefined.
Value get_item(Machine& machine, const Value& object, const Value& key);
/// The attribute alone; nullopt where Python has none. What the sandbox forbids is an undefined value that says so.
std::optional<Value> find_attribute(const Value& object, std::string_view name);

Value call(Machine& machine, const Value& callee, Arguments arguments);
bool is_callable(const Value& value);

/// markupsafe's escape: text with & < > ' " replaced, unless it is markup already.
std::string escape(Machine& machine, const Value& value);
std::string escape_text(std::string_view text);

}  // namespace bigmodel::tokenizer::jinja
