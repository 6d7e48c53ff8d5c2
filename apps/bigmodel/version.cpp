// SPDX-License-Identifier: Apache-2.0
#include "version.h"

namespace bigmodel::app {

BuildFacts build_facts() noexcept {
  return {.version = BIGMODEL_VERSION,
          .compiler = BIGMODEL_COMPILER,
          .build_type = BIGMODEL_BUILD_TYPE,
          .cuda = BIGMODEL_HAS_CUDA != 0};
}

void print_version(Output& out, bool verbose) {
  const BuildFacts facts = build_facts();
  out.print("bigmodel {}\n", facts.version);
  if (!verbose) return;
  out.print("compiler    {}\nbuild type  {}\nGPU backend {}\n", facts.compiler, facts.build_type,
            facts.cuda ? "CUDA" : "none (built without CUDA)");
}

}  // namespace bigmodel::app
