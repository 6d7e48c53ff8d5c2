// SPDX-License-Identifier: Apache-2.0
// Cleaning of device maps.
#include "bigmodel/planning/device_map.h"

#include <doctest/doctest.h>

#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

DeviceMap read_map(const nlohmann::ordered_json& rows) {
  DeviceMap map;
  for (const auto& row : rows) {
    if (row[1].is_number()) map.emplace_back(row[0].get<std::string>(), row[1].get<std::int64_t>());
    else map.emplace_back(row[0].get<std::string>(), row[1].get<std::string>());
  }
  return map;
}

}  // namespace

TEST_SUITE("planning/device_map") {
  TEST_CASE("folds what lies on one device, deepest names last") {
    const DeviceMap map{{"a.x", 0}, {"a.y", 0}, {"b.x", 1}, {"b.y", 1}, {"c", 1}};
    CHECK(clean_device_map(map) == DeviceMap{{"c", 1}, {"a", 0}, {"b", 1}});
  }
  TEST_CASE("keeps a lone name below a module") { CHECK(clean_device_map({{"a.x", 0}}) == DeviceMap{{"a.x", 0}}); }
  TEST_CASE("folds names that a tree could not have, and a module in its own place") {
    CHECK(clean_device_map({{".x", 0}, {"..y", 0}, {".", 0}, {"z", 1}}) == DeviceMap{{"z", 1}, {"", 0}});
    CHECK(clean_device_map({{"a", 1}, {"a.x", 0}, {"b", 2}, {"a.y", 0}}) == DeviceMap{{"a", 0}, {"b", 2}});
    CHECK(clean_device_map({{"", 1}, {"a", 1}}) == DeviceMap{{"", 1}});
    CHECK(clean_device_map({{"a.x", 0}, {"a.y", 0}, {"b", 0}}, "a") == DeviceMap{{"b", 0}, {"a", 0}});
    CHECK(clean_device_map({{"a.x", 0}, {"a.y", 0}}, "nowhere").size() == 2);
  }
  TEST_CASE("100,000 names take no time") {
    DeviceMap map;
    for (int i = 0; i < 100'000; ++i) map.emplace_back(std::to_string(i).append(".x"), i % 3);
    CHECK(clean_device_map(map) == map);
  }
  TEST_CASE("does not take a number for its text") {
    const DeviceMap map{{"a", 0}, {"b", "0"}};
    CHECK(clean_device_map(map) == map);
  }
  TEST_CASE("cleans as accelerate does") {
    const auto path = shared_path("goldens/device_maps/clean_device_map.jsonl.xz");
    if (!path) return;
    int total = 0;
    for_each_record(*path, [&](const nlohmann::ordered_json& record) {
      CAPTURE(record.at("id").get<std::string>());
      CHECK(clean_device_map(read_map(record.at("device_map")), record.at("module_name")) == read_map(record.at("result")));
      ++total;
    });
    CHECK(total == 300);
  }
}

}  // namespace bigmodel::test
