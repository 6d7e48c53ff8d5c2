// SPDX-License-Identifier: Apache-2.0
// Parameters of well-known models that the catalog leaves out, to the unit.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/json_lines.h"

namespace bigmodel {

TEST_SUITE("model/published_counts") {
  TEST_CASE("published numbers of parameters come out of the configs") {
    spec::SpecLibrary library(embedded::architectures_files());
    int seen = 0;
    test::for_each_record("tests/golden/graphs/published_counts.jsonl", [&](const nlohmann::ordered_json& row) {
      const std::string model = row.at("model");
      CAPTURE(model);
      const MetaGraph graph = build_meta_graph(library, parse_config(row.at("config").dump(), model), {.class_name = "auto", .disk_rules = false});
      std::int64_t count = graph_totals(graph).parameters;
      if (row.contains("stored_elements")) {
        for_each_tensor(graph, [&](const TensorVisit& visit) {
          if (visit.is_buffer && visit.tensor.persistent) count += element_count(visit.tensor.shape, visit.name);
        });
      }
      CHECK(count == row.value(row.contains("parameters") ? "parameters" : "stored_elements", std::int64_t{0}));
      ++seen;
    });
    CHECK(seen >= 25);
  }
}

}  // namespace bigmodel
