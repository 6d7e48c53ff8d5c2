// SPDX-License-Identifier: Apache-2.0
// Any bytes as a config.json: read, built as base and as the checkpoint's own class, sized. Only a bigmodel::Error may come out.
#include <cstdint>
#include <string_view>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/planning/memory_estimate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  static const std::vector<EmbeddedFile> files = embedded::architectures_files();
  static spec::SpecLibrary library(files);
  static constexpr DType kDtypes[] = {DType::float32, DType::int4};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Config config = parse_config(text, "config.json");
    for (const char* class_name : {"base", "auto"}) {
      try {
        const MetaGraph graph = build_meta_graph(library, config, {.class_name = class_name});
        (void)estimate_memory(graph, kDtypes);
      } catch (const Error&) {
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
