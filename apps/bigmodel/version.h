// SPDX-License-Identifier: Apache-2.0
// What this build is: version, compiler, build type, and what it was built with.
#pragma once

#include <string_view>

#include "render/output.h"

namespace bigmodel::app {

struct BuildFacts {
  std::string_view version;
  std::string_view compiler;
  std::string_view build_type;
  bool cuda;
};

BuildFacts build_facts() noexcept;

/// "bigmodel 0.1.0"; verbose adds the build's facts.
void print_version(Output& out, bool verbose);

}  // namespace bigmodel::app
