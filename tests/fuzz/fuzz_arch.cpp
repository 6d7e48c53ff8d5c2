// SPDX-License-Identifier: Apache-2.0
// Any bytes as a description (.arch) beside the prelude: parsed, and every model in it built with the defaults of its config block.
// Only a bigmodel::Error may come out.
#include <cstdint>
#include <string>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  static const std::vector<EmbeddedFile> prelude = [] {
    std::vector<EmbeddedFile> files = embedded::architectures_files();
    std::erase_if(files, [](const EmbeddedFile& file) { return file.name.find("prelude") == std::string_view::npos; });
    return files;
  }();
  spec::SpecLibrary library(prelude);
  try {
    library.add_text("fuzz.arch", std::string(reinterpret_cast<const char*>(data), size));
  } catch (const Error&) {
    return 0;
  }
  for (const std::string& type : library.type_names()) {
    try {
      const Config config{.where = "config.json", .model_type = type};
      for (const std::string& class_name : class_names(library, config)) {
        try {
          (void)build_meta_graph(library, config, {.class_name = class_name});
        } catch (const Error&) {
        }
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
