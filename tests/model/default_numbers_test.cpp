// SPDX-License-Identifier: Apache-2.0
// Defaults that no shape shows: what a config that leaves them out runs with is the type's own, not its family's.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/block_facts.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/json_lines.h"

namespace bigmodel {
namespace {

struct Numbers {
  std::set<double> thetas, epsilons;
};

Numbers numbers_of(const MetaGraph& graph) {
  Numbers out;
  for_each_module(graph, [&](const std::string&, const ModuleTemplate& module) {
    if (!module.block) return;
    const Block& block = *module.block;
    const bool rotates = text_property(block, "rope").has_value();
    if (const auto theta = number_property(block, "rope_theta"); theta && rotates) out.thetas.insert(*theta);
    if (block.kind == "rms_norm") out.epsilons.insert(number_property(block, "eps").value_or(0));
  });
  return out;
}

}  // namespace

TEST_SUITE("model/default_numbers") {
  TEST_CASE("rope_theta and rms_norm_eps of types that run are the reference's where the config is silent") {
    spec::SpecLibrary library(embedded::architectures_files());
    int thetas = 0, epsilons = 0;
    test::for_each_record("tests/golden/graphs/defaults.jsonl", [&](const nlohmann::ordered_json& row) {
      const std::string type = row.at("model_type");
      CAPTURE(type);
      const Numbers have = numbers_of(build_meta_graph(library, parse_config(nlohmann::ordered_json{{"model_type", type}}.dump(), "config.json"), {.disk_rules = false}));
      if (row.contains("rope_theta") && !have.thetas.empty()) {
        CHECK(have.thetas == std::set<double>{row.at("rope_theta").get<double>()});
        ++thetas;
      }
      // Norms with a number of their own stand beside.
      if (row.contains("rms_norm_eps") && !have.epsilons.empty()) {
        CHECK(have.epsilons.contains(row.at("rms_norm_eps").get<double>()));
        ++epsilons;
      }
    });
    CHECK(thetas >= 55);
    CHECK(epsilons >= 50);
  }
}

}  // namespace bigmodel
