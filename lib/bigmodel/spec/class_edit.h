// SPDX-License-Identifier: Apache-2.0
// Writing a class that is inherited means editing it: applies the statements of a derived class to an inherited body.
#pragma once

#include "bigmodel/spec/ast.h"

namespace bigmodel::spec {

/// Same member name replaces in place (also inside if/for), a new one goes to the end or to its stated place; `remove`,
/// `rename`, `let`, `nosplit`, `block`, `disk` as section 6 says. Throws SpecError for an unknown name.
Body edited(Arena& arena, Body body, const Body& changes);

}  // namespace bigmodel::spec
