// SPDX-License-Identifier: Apache-2.0
// The planner against accelerate 1.15: every function, argument and message of the large set, and a small one in this repository.
#include <doctest/doctest.h>

#include <filesystem>

#include "planning/device_map_records.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;
using Difference = std::string (*)(const Trees&, const Json&);

struct File {
  const char* name;
  Difference difference;
  int rows, small_rows;
};
constexpr File kFiles[] = {
    {"cases", &infer_difference, 3128, 132},
    {"balanced_memory", &balanced_difference, 608, 30},
    {"module_sizes", &module_sizes_difference, 632, 23},
    {"maximum_sizes", &maximum_sizes_difference, 798, 38},
    {"ties", &ties_difference, 906, 60},
    {"check_device_map", &check_difference, 300, 17},
};

Trees read_trees(const std::filesystem::path& path) {
  Trees trees;
  for_each_record(path, [&](const Json& record) {
    const std::string id = record.at("id");
    trees.emplace(id, parse_graph_json(record, id));
  });
  return trees;
}

int replay(const Trees& trees, const std::filesystem::path& path, Difference difference) {
  int total = 0, shown = 0;
  for_each_record(path, [&](const Json& record) {
    ++total;
    const std::string why = difference(trees, record);
    if (why.empty() || ++shown > 10) return;
    FAIL_CHECK(record.at("id").get<std::string>() << ": " << why.substr(0, 600));
  });
  CHECK(shown == 0);
  return total;
}

}  // namespace

TEST_SUITE("planning/device_map_goldens") {
  TEST_CASE("answers a small set as accelerate does") {
    const std::filesystem::path folder = golden_path("planning");
    const Trees trees = read_trees(folder / "trees.jsonl.xz");
    CHECK(trees.size() == 25);
    for (const File& file : kFiles) {
      CAPTURE(file.name);
      CHECK(replay(trees, folder / (std::string(file.name) + ".jsonl.xz"), file.difference) == file.small_rows);
    }
  }

  TEST_CASE("answers as accelerate does, warnings, log and exceptions included") {
    const auto folder = shared_path("goldens/device_maps");
    if (!folder) return;
    const Trees trees = read_trees(*folder / "trees.jsonl.xz");
    CHECK(trees.size() == 564);
    for (const File& file : kFiles) {
      CAPTURE(file.name);
      CHECK(replay(trees, *folder / (std::string(file.name) + ".jsonl.xz"), file.difference) == file.rows);
    }
  }
}

}  // namespace bigmodel::test
