// SPDX-License-Identifier: Apache-2.0
// Every parameter and buffer of a model by name and shape, in PyTorch's order, without PyTorch and without data.
#include <bigmodel/architectures/architectures.h>
#include <bigmodel/core/error.h>
#include <bigmodel/core/shape.h>
#include <bigmodel/model/build_meta_graph.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: list_tensors CONFIG_JSON\n");
    return 2;
  }
  try {
    using namespace bigmodel;
    spec::SpecLibrary library(embedded::architectures_files());
    const MetaGraph graph = build_meta_graph(library, read_config(argv[1]), {.class_name = "auto"});
    for_each_tensor(graph, [](const TensorVisit& visit) {
      std::printf("%s %s%s\n", visit.name.c_str(), to_string(visit.tensor.shape).c_str(), visit.is_buffer ? " buffer" : "");
    });
  } catch (const bigmodel::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
