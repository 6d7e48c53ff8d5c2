// SPDX-License-Identifier: Apache-2.0
// --exact from outside: headers by byte ranges from a Hub on loopback, from the cache, from a folder.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

struct Home {
  TempFolder folder;
  LoopbackHub hub;
  std::map<std::string, std::string> environment{{"HF_HOME", folder.path().string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}};
  RunResult run(const std::vector<std::string>& args) const { return run_binary(args, {.environment = environment}); }
};

}  // namespace

TEST_SUITE("cli/exact") {
  TEST_CASE("reads the headers of shards and no weights") {
    Home home;
    const RunResult r = home.run({"estimate-memory", "good/sharded", "--exact", "--json"});
    CAPTURE(r.err);
    CHECK(r.exit_code == 0);
    CHECK(faults_of("estimate-memory", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(json["checkpoint"] == Json::parse(R"({"files": 2, "tensors": 3, "parameters": 18, "bytes": 72, "dtypes": {"float32": 72}})"));
    CHECK(json["dtypes"][0]["total_bytes"] == 72);
    CHECK(contains(r.err, "read the headers of 2 files on the Hub, no weights"));
    CHECK_FALSE(std::filesystem::exists(home.folder / "hub/models--good--sharded/snapshots" / std::string(40, 'c') / "a.safetensors"));
    int ranges = 0;
    for (const auto& request : home.hub.requests()) {
      if (request.server != "cdn") continue;
      CHECK(request.headers.contains("range"));
      ++ranges;
    }
    CHECK(ranges == 3);  // one header is longer than the first range
    const RunResult text = home.run({"estimate-memory", "good/sharded", "--exact"});
    CHECK(contains(text.out, "checkpoint: 3 tensors, 18 parameters, 72 B in 2 files (float32)\n"));
  }

  TEST_CASE("inspect says where each tensor lies") {
    Home home;
    std::istringstream lines(home.run({"inspect", "good/sharded", "--exact", "--tensors", "--format", "jsonl"}).out);
    std::map<std::string, Json> rows;
    for (std::string line; std::getline(lines, line);) {
      CHECK(faults_of("inspect-tensor", line) == "");
      const Json row = Json::parse(line);
      rows[row["name"]] = row;
    }
    REQUIRE(rows.size() == 3);
    CHECK(rows["y.weight"]["file"] == "a.safetensors");
    CHECK(rows["y.weight"]["size_bytes"] == 24);
    CHECK(rows["z.weight"]["file"] == "b.safetensors");
    CHECK(rows["z.weight"]["offset"].get<int>() > 150'000);
    CHECK(contains(home.run({"inspect", "good/sharded", "--exact", "--summary"}).out, "checkpoint    3 tensors, 18 parameters, 72 B in 2 files (float32)"));
    CHECK(contains(home.run({"inspect", "good/sharded", "--subfolder", "sub", "--exact", "--summary"}).out, "checkpoint    1 tensors"));
  }

  TEST_CASE("a folder and a full cache need no server") {
    Home home;
    CHECK(home.run({"download", "good/sharded", "--quiet"}).exit_code == 0);
    const std::size_t before = home.hub.requests().size();
    const RunResult r = home.run({"estimate-memory", "good/sharded", "--exact", "--offline", "--json"});
    CHECK(Json::parse(r.out)["checkpoint"]["bytes"] == 72);
    CHECK(home.hub.requests().size() == before);
    const std::string path = (home.folder / "hub/models--good--sharded/snapshots" / std::string(40, 'c')).string();
    CHECK(Json::parse(home.run({"estimate-memory", path, "--exact", "--json"}).out)["checkpoint"]["tensors"] == 3);
  }

  TEST_CASE("says what is wrong") {
    Home home;
    const auto error = [&](const std::vector<std::string>& args, int code, std::string_view part) {
      std::vector<std::string> all{"estimate-memory", "--exact"};
      all.insert(all.end(), args.begin(), args.end());
      const RunResult r = home.run(all);
      CAPTURE(r.err);
      CHECK(r.exit_code == code);
      CHECK(r.out.empty());
      CHECK(contains(r.err, part));
    };
    error({"good/torch"}, 3, "good/torch@ccccccc: none of model.safetensors, model.safetensors.index.json, ");
    error({"bad/shard"}, 3, "names shard \"b.safetensors\", which is not there");
    error({"bad/index"}, 6, "no tensor \"z.weight\", which model.safetensors.index.json puts there");
    error({"good/model"}, 6, "header length");
    error({"gpt2", "--offline"}, 5, "the network is off");
    const std::string alone = home.folder.write("alone/config.json", R"({"model_type": "bert"})").string();
    error({alone}, 3, "no checkpoint in this folder");
  }
}

}  // namespace bigmodel::test
