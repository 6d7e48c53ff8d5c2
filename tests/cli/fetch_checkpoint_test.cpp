// SPDX-License-Identifier: Apache-2.0
// Commands that read weights take repositories of the Hub, and fetch what they read.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

struct Home {
  TempFolder folder;
  LoopbackHub hub;
  std::map<std::string, std::string> environment{{"HF_HOME", (folder / "hf").string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}};
  RunResult run(const std::vector<std::string>& args) const { return run_binary(args, {.environment = environment, .folder = folder.path().string()}); }
  fs::path snapshot(const std::string& repo) const { return folder / "hf/hub" / ("models--good--" + repo) / "snapshots" / std::string(40, 'c'); }
};

}  // namespace

TEST_SUITE("cli/fetch_checkpoint") {
  TEST_CASE("shard takes a repository and fetches its weights alone") {
    Home home;
    const RunResult r = home.run({"shard", "good/sharded", "--merge", "--json"});
    CAPTURE(r.err);
    CHECK(r.exit_code == 0);
    CHECK(faults_of("shard", r.out) == "");
    CHECK(Json::parse(r.out)["total_size"] == 72);
    CHECK(fs::exists(home.folder / "sharded-sharded/model.safetensors"));
    CHECK(fs::exists(home.snapshot("sharded") / "a.safetensors"));
    CHECK_FALSE(fs::exists(home.snapshot("sharded") / "sub/model.safetensors"));
    const std::size_t before = home.hub.requests().size();
    CHECK(home.run({"shard", "good/sharded", "--offline", "-o", "again"}).exit_code == 0);
    CHECK(home.hub.requests().size() == before);
  }

  TEST_CASE("a dry run reads headers") {
    Home home;
    const RunResult r = home.run({"shard", "good/sharded@main", "--max-shard-size", "24", "--dry-run", "--json"});
    CAPTURE(r.err);
    CHECK(r.exit_code == 0);
    CHECK(Json::parse(r.out)["files"].size() == 3);
    CHECK_FALSE(fs::exists(home.snapshot("sharded") / "a.safetensors"));
    CHECK_FALSE(fs::exists(home.folder / "sharded-sharded"));
  }

  TEST_CASE("--variant takes that variant's files and no others") {
    Home home;
    const auto first_tensor = [&](std::vector<std::string> args) {
      args.insert(args.end(), {"--tensors", "--format", "jsonl"});
      const RunResult r = home.run(args);
      CAPTURE(r.err);
      CHECK(r.exit_code == 0);
      return Json::parse(r.out.substr(0, r.out.find('\n')))["name"].get<std::string>();
    };
    // Headers alone: nothing is kept.
    CHECK(first_tensor({"inspect", "good/variants", "--variant", "fp16"}) == "half");
    CHECK(first_tensor({"inspect", "good/variants", "--variant", "bf16"}) == "x");
    CHECK_FALSE(fs::exists(home.snapshot("variants")));

    const RunResult cut = home.run({"shard", "good/variants", "--variant", "bf16", "--merge", "--json"});
    CAPTURE(cut.err);
    CHECK(cut.exit_code == 0);
    CHECK(Json::parse(cut.out)["total_size"] == 48);
    CHECK(fs::exists(home.folder / "variants-sharded/model.bf16.safetensors"));
    CHECK(fs::exists(home.snapshot("variants") / "model.safetensors.index.bf16.json"));
    CHECK_FALSE(fs::exists(home.snapshot("variants") / "model.safetensors"));
    CHECK_FALSE(fs::exists(home.snapshot("variants") / "model.fp16.safetensors"));

    const RunResult half = home.run({"verify", "good/variants", "--variant", "fp16", "--deep"});
    CHECK(half.exit_code == 0);
    CHECK(contains(half.out, "  half\n"));
    // A variant in the cache is not the model itself.
    const RunResult full = home.run({"verify", "good/variants", "--deep"});
    CHECK(full.exit_code == 0);
    CHECK(contains(full.out, "  full\n"));
    CHECK(first_tensor({"inspect", "good/variants", "--checkpoint", "--offline"}) == "full");
    CHECK(first_tensor({"inspect", "good/variants", "--variant", "fp16", "--offline"}) == "half");

    const RunResult none = home.run({"shard", "good/variants", "--variant", "int8"});
    CHECK(none.exit_code == 3);
    CHECK(contains(none.err, "no PyTorch weights of variant \"int8\"; it has --variant bf16, fp16"));
    CHECK(home.run({"shard", "good/variants", "--variant", "int8", "--offline"}).exit_code != 0);
  }

  TEST_CASE("a variant alone in the cache is not taken for the model") {
    Home home;
    CHECK(home.run({"verify", "good/variants", "--variant", "fp16"}).exit_code == 0);
    const RunResult r = home.run({"verify", "good/variants", "--deep"});
    CHECK(r.exit_code == 0);
    CHECK(contains(r.out, "  full\n"));
  }

  TEST_CASE("says what is wrong") {
    Home home;
    const auto error = [&](const std::vector<std::string>& args, int code, std::string_view part) {
      const RunResult r = home.run(args);
      CAPTURE(r.err);
      CHECK(r.exit_code == code);
      CHECK(r.out.empty());
      CHECK(contains(r.err, part));
    };
    error({"shard", "no/such"}, 3, "no/such: no such file or folder, and no/such: the Hub has no such model");
    error({"shard", "no/such", "--offline"}, 5, "no/such: no such file or folder, and ");
    error({"shard", "./no-such"}, 3, "./no-such");
    error({"shard", "good/renamed", "--in-place"}, 2, "--in-place: the Hub's cache is shared");
    error({"shard", "bad/shard"}, 3, "names b.safetensors, which the repository lacks");
    error({"run", "good/model", "--ids", "1"}, 6, "model.safetensors");  // fetched, and no safetensors file
    CHECK(fs::exists(home.snapshot("model") / "model.safetensors"));
    error({"run", "gpt2", "--offline", "--ids", "1"}, 5, "the network is off");
  }
}

}  // namespace bigmodel::test
