// SPDX-License-Identifier: Apache-2.0
// Methods and attributes of Python's built-in types, as far as they change nothing.
#pragma once

#include <optional>
#include <string_view>

#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

/// An attribute of a str, list, tuple, dict, int, float, bool or None; nullopt where Python has none of that name.
std::optional<Value> builtin_attribute(const Value& object, std::string_view name);

/// Whether Python has an attribute of that name that begins with two underscores.
bool has_dunder(const Value& object, std::string_view name);

/// A method of str, applied. Throws TypeError, ValueError.
Value call_text_method(Machine& machine, const Value& self, std::string_view name, Arguments arguments);
bool is_text_method(std::string_view name);

/// int(text, base) and float(text); nullopt where Python raises ValueError.
std::optional<Int> parse_int(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

/// bytes, shown as Python shows them.
Value make_bytes(std::string bytes);

}  // namespace bigmodel::tokenizer::jinja
