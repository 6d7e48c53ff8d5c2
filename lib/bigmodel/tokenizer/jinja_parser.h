// SPDX-License-Identifier: Apache-2.0
// Tokens -> the tree of a template; names get their slots from jinja_scope.
#pragma once

#include <string_view>

#include "bigmodel/tokenizer/jinja_ast.h"

namespace bigmodel::tokenizer::jinja {

/// Throws JinjaError TemplateSyntaxError or TemplateAssertionError, worded as Jinja words it.
TemplateTree parse_template(std::string_view source);

}  // namespace bigmodel::tokenizer::jinja
