// SPDX-License-Identifier: Apache-2.0
// How much memory a model needs: config.json -> meta graph -> estimate.
#include <bigmodel/architectures/architectures.h>
#include <bigmodel/core/byte_size.h>
#include <bigmodel/core/error.h>
#include <bigmodel/model/build_meta_graph.h>
#include <bigmodel/planning/memory_estimate.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: estimate CONFIG_JSON\n");
    return 2;
  }
  try {
    using namespace bigmodel;
    spec::SpecLibrary library(embedded::architectures_files());
    const MetaGraph graph = build_meta_graph(library, read_config(argv[1]));
    const DType dtypes[] = {DType::float32, DType::bfloat16, DType::int4};
    const MemoryEstimate estimate = estimate_memory(graph, dtypes);
    for (const DtypeEstimate& row : estimate.dtypes) {
      const auto size = [](std::int64_t bytes) { return format_binary(static_cast<std::uint64_t>(bytes)); };
      std::printf("%s: %s, largest layer %s (%s)\n", std::string(name(row.dtype)).c_str(), size(row.total_bytes).c_str(),
                  size(row.largest_layer_bytes).c_str(), estimate.largest_modules.front().c_str());
    }
  } catch (const bigmodel::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
