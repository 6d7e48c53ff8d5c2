// SPDX-License-Identifier: Apache-2.0
// timm's registered architectures against the reference: names, order, shapes, dtypes, persistence, class and totals.
#include <fmt/format.h>
#include <doctest/doctest.h>

#include <cstdio>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/graph_record.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"

using namespace bigmodel;

TEST_SUITE("model/timm_records") {
  TEST_CASE("every registered name of the described families is equal") {
    const auto path = test::shared_path("goldens/timm/timm_default.jsonl.xz");
    if (!path) return;
    spec::SpecLibrary library(embedded::architectures_files());
    int equal = 0, total = 0, shown = 0;
    test::for_each_record(*path, [&](const nlohmann::ordered_json& record) {
      const std::string type = "timm/" + record.at("name").get<std::string>();
      if (!library.has(type)) return;
      ++total;
      nlohmann::ordered_json r = record;
      r["config"] = {{"model_type", type}};
      r["class"] = "base";
      r["model_type"] = type;
      std::string difference = test::graph_difference(library, r);
      if (difference.empty()) {
        const MetaGraph graph = build_meta_graph(library, timm_config(record.at("name").get<std::string>()));
        if (graph.class_name != record.at("class").get<std::string>()) difference = "class " + graph.class_name;
        if (graph_totals(graph).parameters != record.at("n_params").get<std::int64_t>()) difference = "another total";
      }
      if (difference.empty()) {
        ++equal;
      } else if (++shown < 10) {
        std::fprintf(stderr, "  %s: %s\n", type.c_str(), difference.c_str());
      }
    }, /*sanitized_every=*/50);
    std::fprintf(stderr, "timm: %d of %d equal\n", equal, total);
    CHECK(equal == total);
    CHECK(total >= (test::kSanitized ? 1 : 300));
  }
}
