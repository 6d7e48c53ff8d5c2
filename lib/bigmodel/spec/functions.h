// SPDX-License-Identifier: Apache-2.0
// The functions and operators of the language on values; no config, no names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/spec/ast.h"

namespace bigmodel::spec {

/// Applies a built-in function (`len min max sum ...`). Throws SpecError at `place` for wrong arguments.
Value apply_function(std::string_view name, const List& args, const Place& place);
bool is_function(std::string_view name);
std::vector<std::string> function_names();

/// a op b for everything but and/or. Throws SpecError with both operands shown.
Value apply_binary(BinaryOp op, const Value& a, const Value& b, const Place& place);
Value apply_negate(const Value& a, const Place& place);

}  // namespace bigmodel::spec
