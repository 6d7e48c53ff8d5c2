// SPDX-License-Identifier: Apache-2.0
// What published checkpoints hold, by number and by byte: layers of multi-token prediction, packed elements with their scales, tensors that
// older files keep beside the model's.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"
#include "bigmodel/planning/stored_weights.h"
#include "support/json_lines.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

struct Held {
  std::int64_t parameters = 0, elements = 0, bytes = 0;

  void add(const MetaGraph& graph, const StoredWeights& stored) {
    parameters += graph_totals(graph).parameters;
    elements += stored.elements;
    bytes += stored.bytes;
  }
};

}  // namespace

TEST_SUITE("planning/published_files") {
  TEST_CASE("elements and bytes of published checkpoints come out of their configs") {
    spec::SpecLibrary library(embedded::architectures_files());
    int seen = 0;
    test::for_each_record("tests/golden/planning/published_files.jsonl", [&](const Json& row) {
      const std::string model = row.at("model");
      CAPTURE(model);
      const Config config = parse_config(row.contains("catalog") ? find_catalog_entry(row.at("catalog").get<std::string>()).value().config : row.at("config").dump(), model);
      const QuantizationConfig quantization = quantization_of(config).value_or(QuantizationConfig{});
      const DType plain = row.value("dtype", "") == "float32" ? DType::float32 : DType::bfloat16;
      Held held;
      const MetaGraph graph = build_meta_graph(library, config, {.class_name = row.value("class", "auto")});
      held.add(graph, price_stored_weights(graph, quantization, plain));
      CHECK(quantization.unknown.empty());
      if (prediction_layers(config) > 0) {
        const std::optional<MetaGraph> beside = build_prediction_graph(library, config);
        REQUIRE(beside.has_value());
        const StoredWeights stored = price_stored_weights(*beside, quantization, plain);
        held.add(*beside, stored);
        if (row.contains("beside")) CHECK(stored.parameters == row.at("beside"));
      }
      for (const Json& extra : row.value("more", Json::array())) {
        held.parameters += extra.at("elements").get<std::int64_t>();
        held.elements += extra.at("elements").get<std::int64_t>();
        held.bytes += extra.value("bytes", std::int64_t{0});
      }
      if (row.contains("parameters")) CHECK(held.parameters == row.at("parameters"));
      if (row.contains("elements")) CHECK(held.elements == row.at("elements"));
      if (row.contains("bytes")) CHECK(held.bytes == row.at("bytes"));
      ++seen;
    });
    CHECK(seen >= 90);
  }
}

}  // namespace bigmodel
