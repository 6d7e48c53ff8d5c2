// SPDX-License-Identifier: Apache-2.0
// Python's two ways to format: 'text' % values, and 'text'.format(values) with its format specifications.
#pragma once

#include <string>
#include <string_view>

#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

Value percent_format(Machine& machine, const Text& format, const Value& values);
Value brace_format(Machine& machine, const Text& format, const Arguments& arguments);
/// format(value, spec)
std::string format_value(Machine& machine, const Value& value, std::string_view spec);

}  // namespace bigmodel::tokenizer::jinja
