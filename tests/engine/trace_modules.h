// SPDX-License-Identifier: Apache-2.0
// The small modules that hook traces are made of (goldens/hooks/README.md): integer arithmetic on rows of three, exact in float32.
#pragma once

#include <memory>
#include <string>

#include "bigmodel/engine/module.h"

namespace bigmodel::test {

/// A ModuleMaker: the class name says what the module computes. Throws where it knows no such class.
/// A weight on meta, or in another dtype than float32, makes the forward throw, as PyTorch's would.
std::unique_ptr<Module> make_trace_module(const std::string& name, const std::shared_ptr<const ModuleTemplate>& meta);

}  // namespace bigmodel::test
