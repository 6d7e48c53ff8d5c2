// SPDX-License-Identifier: Apache-2.0
// Names -> slots, by Jinja's rules of scope: a scope that assigns a name anywhere has its own variable of that name, which starts
// as the enclosing scope's, as the caller's variable, or as undefined. Also the checks that Jinja makes when it compiles.
#pragma once

#include "bigmodel/tokenizer/jinja_ast.h"

namespace bigmodel::tokenizer::jinja {

/// Fills in every slot of the tree. Throws JinjaError TemplateAssertionError.
void resolve_names(TemplateTree& tree);

}  // namespace bigmodel::tokenizer::jinja
