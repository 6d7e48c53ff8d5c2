// SPDX-License-Identifier: Apache-2.0
// What lies where when nobody says: RAM while it lasts, then disk, evenly between.
#include "bigmodel/engine/auto_device_map.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"

namespace bigmodel {

TEST_SUITE("engine/auto_device_map") {
  TEST_CASE("a model goes to RAM whole, in part, or not at all") {
    spec::SpecLibrary library(embedded::architectures_files());
    const MetaGraph g = build_meta_graph(library, parse_config(find_catalog_entry("gpt2")->config, "config.json"), {.class_name = "auto", .disk_rules = false});
    CHECK(auto_device_map(g, {.ram_bytes = INT64_C(1) << 30, .context = 128}).device_map == DeviceMap{{"", std::string("cpu")}});
    const DeviceMap part = auto_device_map(g, {.ram_bytes = INT64_C(400) << 20, .context = 128}).device_map;
    const auto on = [&part](const char* device) { return std::ranges::count(part, DeviceKey(std::string(device)), &std::pair<std::string, DeviceKey>::second); };
    CHECK(on("cpu") > 0);
    CHECK(on("disk") > 0);
    CHECK_THROWS_AS(auto_device_map(g, {.ram_bytes = 1 << 20, .context = 128}), CapacityError);
    CHECK_THROWS_AS(auto_device_map(g, {.ram_bytes = -1}), CapacityError);
  }
}

}  // namespace bigmodel
