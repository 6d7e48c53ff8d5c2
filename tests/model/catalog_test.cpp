// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/catalog.h"

#include <doctest/doctest.h>

#include <set>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/build_meta_graph.h"

using namespace bigmodel;

TEST_SUITE("model/catalog") {
  TEST_CASE("every entry builds and holds its total") {
    spec::SpecLibrary library(embedded::architectures_files());
    const std::vector<CatalogEntry> entries = catalog();
    CHECK(entries.size() >= 60);
    for (const CatalogEntry& entry : entries) {
      CAPTURE(entry.name);
      const Config config = parse_config(entry.config, entry.name);
      const MetaGraph graph = build_meta_graph(library, config, {.class_name = entry.class_name});
      CHECK(graph_totals(graph).parameters == entry.parameters);
      CHECK_FALSE(entry.source.empty());
      CHECK_FALSE(entry.parameters_source.empty());
      CHECK(entry.published_parameters.has_value() != entry.note.empty());
    }
  }

  TEST_CASE("names and aliases are found, once each") {
    CHECK(find_catalog_entry("bert-base-cased")->parameters == 108310272);
    CHECK(find_catalog_entry("google-bert/bert-base-cased")->name == "bert-base-cased");
    CHECK(find_catalog_entry("T0pp")->name == "bigscience/T0pp");
    CHECK_FALSE(find_catalog_entry("BertForMaskedLM").has_value());
    CHECK_FALSE(find_catalog_entry("").has_value());
    std::set<std::string> seen;
    for (const std::string& name : catalog_names()) {
      CAPTURE(name);
      CHECK(seen.insert(name).second);
    }
  }
}
