// SPDX-License-Identifier: Apache-2.0
// Changed configs of described types against the reference, from this repository alone.
#include <doctest/doctest.h>

#include "bigmodel/architectures/architectures.h"
#include "support/graph_record.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"

using namespace bigmodel;

TEST_SUITE("model/small_records") {
  TEST_CASE("every committed record is equal") {
    spec::SpecLibrary library(embedded::architectures_files());
    int records = 0;
    test::for_each_record(test::golden_path("graphs/records.jsonl.xz"), [&](const nlohmann::ordered_json& record) {
      CAPTURE(record.at("model_type").get<std::string>());
      CAPTURE(record.at("class").get<std::string>());
      CHECK(test::graph_difference(library, record) == "");
      ++records;
    });
    CHECK(records > 375);
  }
}
