// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/checkpoint_index.h"

#include <doctest/doctest.h>

#include "bigmodel/core/error.h"

namespace bigmodel {

TEST_SUITE("checkpoint/checkpoint_index") {
  TEST_CASE("keeps the order of the weight map and of the shards") {
    const CheckpointIndex index = parse_checkpoint_index(
        R"({"metadata":{"total_size":12,"note":[1]},"weight_map":{"z":"b.bin","a":"a.bin","m":"b.bin"}})", "x");
    CHECK(index.shards == std::vector<std::string>{"b.bin", "a.bin"});
    REQUIRE(index.weight_map.size() == 3);
    CHECK(index.weight_map[0].tensor == "z");
    CHECK(index.weight_map[2].shard == 0);
    CHECK(index.total_size == 12);
    CHECK(index.metadata[1].second == "[1]");
  }

  TEST_CASE("reads a total_size that is a JSON float") {
    CHECK(parse_checkpoint_index(R"({"metadata":{"total_size":13731385408.0},"weight_map":{}})", "x").total_size == 13731385408ULL);
    CHECK_FALSE(parse_checkpoint_index(R"({"metadata":{"total_size":-1},"weight_map":{}})", "x").total_size);
    CHECK_FALSE(parse_checkpoint_index(R"({"weight_map":{}})", "x").total_size);
  }

  TEST_CASE("reads a bare map as accelerate does") {
    CHECK(parse_checkpoint_index(R"({"a":"x.bin"})", "x").weight_map.size() == 1);
    CHECK_THROWS_AS(parse_checkpoint_index(R"({"a":{"b":1}})", "x"), FormatError);
    CHECK_THROWS_AS(parse_checkpoint_index("{}", "x"), FormatError);
  }

  TEST_CASE("refuses shard names that leave the folder") {
    using namespace std::string_view_literals;
    for (const std::string_view name : {"/etc/passwd"sv, "..\\x"sv, "a/../../x"sv, ".."sv, "C:x"sv, "\\\\host\\x"sv, ""sv, "a\0b"sv, "a//b"sv, "./x"sv}) {
      CAPTURE(std::string(name));
      CHECK_FALSE(shard_name_fault(name).empty());
    }
    CHECK(shard_name_fault("model-00001-of-00002.safetensors").empty());
    CHECK(shard_name_fault("sub/model..x").empty());
    CHECK_THROWS_AS(parse_checkpoint_index(R"({"weight_map":{"a":"../x"}})", "x"), FormatError);
  }

  TEST_CASE("refuses one tensor twice") {
    CHECK_THROWS_AS(parse_checkpoint_index(R"({"weight_map":{"a":"x","a":"y"}})", "x"), FormatError);
  }

  TEST_CASE("writes both layouts") {
    const std::vector<std::pair<std::string, std::string>> metadata{{"total_size", "8"}, {"a", "\"b\""}};
    const std::vector<std::pair<std::string, std::string>> map{{"z", "s1"}, {"\xc3\xa4\"", "s2"}};
    CHECK(checkpoint_index_text(metadata, map, IndexLayout::hub) ==
          "{\n  \"metadata\": {\n    \"total_size\": 8,\n    \"a\": \"b\"\n  },\n  \"weight_map\": {\n    \"z\": \"s1\",\n    \"\\u00e4\\\"\": \"s2\"\n  }\n}");
    CHECK(checkpoint_index_text(metadata, map, IndexLayout::transformers) ==
          "{\n  \"metadata\": {\n    \"a\": \"b\",\n    \"total_size\": 8\n  },\n  \"weight_map\": {\n    \"z\": \"s1\",\n    \"\\u00e4\\\"\": \"s2\"\n  }\n}\n");
  }
}

}  // namespace bigmodel
