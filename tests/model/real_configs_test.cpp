// SPDX-License-Identifier: Apache-2.0
// config.json files that other projects wrote: the totals that the reference builds, or a refusal by name; never a crash or a guess.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"

using namespace bigmodel;
using Json = nlohmann::ordered_json;

TEST_SUITE("model/real_configs") {
  TEST_CASE("every real config of a described type gives its known total") {
    const auto folder = test::shared_path("data/configs");
    if (!folder) return;
    const Json known = Json::parse(test::read_maybe_xz(*folder / "known_totals.json"));
    std::map<std::string, Json> totals;
    for (const auto& [name, entry] : known.at("reference_parameters").items()) totals[name] = entry;
    spec::SpecLibrary library(embedded::architectures_files());
    int equal = 0, refused = 0, other = 0;
    test::Sampling sampling(5);
    for (const auto& file : std::filesystem::directory_iterator(*folder)) {
      std::string name = file.path().filename().string();
      if (!file.is_regular_file() || name == "known_totals.json" || name.find("hf_quant_config") != std::string::npos) continue;
      if (!sampling.take()) continue;
      name.resize(name.find(".json"));
      CAPTURE(name);
      const auto total = totals.find(name);
      try {
        const Config config = parse_config(test::read_maybe_xz(file.path()), name);
        if (total == totals.end()) {
          build_meta_graph(library, config);
          ++other;
          continue;
        }
        const MetaGraph graph = build_meta_graph(library, config, {.class_name = total->second.at("class").get<std::string>()});
        CHECK(graph_totals(graph).parameters == total->second.at("parameters").get<std::int64_t>());
        ++equal;
      } catch (const Error& e) {
        ++refused;
        const bool by_name = e.kind() == ErrorKind::unsupported || e.kind() == ErrorKind::not_found || e.kind() == ErrorKind::format;
        CHECK(by_name);
        // A type that is described may not be refused where the reference builds it.
        if (total != totals.end()) {
          INFO(e.what());
          const std::string what = e.what();
          CHECK((what.find("unknown model type") != std::string::npos || what.find("is remote code") != std::string::npos));
        }
      }
    }
    std::fprintf(stderr, "real configs: %d equal, %d refused by name, %d without a known total\n", equal, refused, other);
    CHECK(equal >= (test::kSanitized ? 1 : 30));
  }
}
