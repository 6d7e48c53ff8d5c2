// SPDX-License-Identifier: Apache-2.0
// Size texts and budgets in the reference's dialects.
#include "bigmodel/planning/reference_sizes.h"

#include <doctest/doctest.h>

#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

/// {"result": ...} or {"error": [class, message]}, as the goldens have them.
template <typename Call>
Json outcome(Call call) {
  try {
    return {{"result", call()}};
  } catch (const ReferenceError& error) {
    return {{"error", {error.exception_class(), error.message()}}};
  }
}

DeviceKey read_device(const Json& value) {
  if (value.is_number()) return value.get<std::int64_t>();
  return value.get<std::string>();
}

Json write_budgets(const DeviceBudgets& budgets) {
  Json rows = Json::array();
  for (const auto& [device, bytes] : budgets.bytes) {
    std::visit([&rows, bytes = bytes.as_bytes()](const auto& key) { rows.push_back(Json::array({key, bytes})); }, device);
  }
  return rows;
}

}  // namespace

TEST_SUITE("planning/reference_sizes") {
  TEST_CASE("reads a final lower-case b as bits") { CHECK(parse_accelerate_size("1gb") == 125'000'000); }
  TEST_CASE("reads binary units whatever their case") { CHECK(parse_accelerate_size("0.5gib") == 536'870'912); }
  TEST_CASE("the Hub's dialect has no bits") { CHECK(parse_hub_size(" 1.5 gb ") == 1'500'000'000); }
  TEST_CASE("refuses what 64 bits cannot hold") { CHECK_THROWS_AS(parse_hub_size("1e300TB"), UsageError); }
  TEST_CASE("a vanishing number is zero") { CHECK(parse_accelerate_size("1e-400GB") == 0); }

  TEST_CASE("reads sizes as accelerate and huggingface_hub do") {
    const auto path = shared_path("goldens/device_maps/size_strings.jsonl.xz");
    if (!path) return;
    int total = 0;
    for_each_record(*path, [&](const Json& record) {
      CAPTURE(record.dump());
      if (!record.at("input").is_string()) return;
      const std::string input = record.at("input");
      if (record.contains("accelerate")) CHECK(outcome([&] { return parse_accelerate_size(input); }) == record.at("accelerate"));
      if (record.contains("huggingface_hub")) CHECK(outcome([&] { return parse_hub_size(input); }) == record.at("huggingface_hub"));
      ++total;
    });
    CHECK(total == 205);
  }

  TEST_CASE("orders budgets as accelerate does") {
    const auto path = shared_path("goldens/device_maps/max_memory.jsonl.xz");
    if (!path) return;
    int total = 0;
    for_each_record(*path, [&](const Json& record) {
      CAPTURE(record.dump());
      std::vector<std::pair<DeviceKey, BudgetArgument>> given;
      for (const Json& row : record.at("max_memory")) given.emplace_back(read_device(row[0]), row[1].is_number() ? BudgetArgument(row[1].get<std::int64_t>()) : BudgetArgument(row[1].get<std::string>()));
      Json log = Json::array();
      Json got = outcome([&] {
        const DeviceBudgets budgets = get_max_memory(given, 4);
        for (const std::string& text : budgets.warnings) log.push_back(Json::array({"WARNING", text}));
        return write_budgets(budgets);
      });
      CHECK(got == (record.contains("error") ? Json{{"error", record.at("error")}} : Json{{"result", record.at("result")}}));
      CHECK(log == record.value("log", Json::array()));
      ++total;
    });
    CHECK(total == 150);
  }
}

}  // namespace bigmodel::test
