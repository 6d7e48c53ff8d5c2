// SPDX-License-Identifier: Apache-2.0
// `estimate-memory --post-discussion` against a Hub on loopback.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "cli/run_binary.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {

using Json = nlohmann::ordered_json;

TEST_SUITE("cli/post_discussion") {
  TEST_CASE("shows the table first, and posts it with --yes") {
    TempFolder folder;
    LoopbackHub hub;
    std::map<std::string, std::string> environment{{"HF_HOME", folder.path().string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}};
    const auto run = [&](std::vector<std::string> more) {
      more.insert(more.begin(), {"estimate-memory", "good/sharded", "--exact", "--post-discussion"});
      return run_binary(more, {.environment = environment});
    };
    const auto posts = [&] {
      std::vector<Json> out;
      for (const auto& request : hub.requests()) {
        if (request.path.ends_with("/discussions")) out.push_back(Json::parse(request.body));
      }
      return out;
    };
    const RunResult shown = run({});
    CHECK(shown.exit_code == 0);
    CHECK(shown.out.starts_with("How much memory good/sharded needs\n\n### good/sharded\n"));
    CHECK(shown.err.find("nothing is sent") != std::string::npos);
    CHECK(posts().empty());
    CHECK(run({"--yes"}).exit_code == 4);
    CHECK(posts().empty());
    environment["HF_TOKEN"] = "hf_good";
    const RunResult sent = run({"--yes"});
    CAPTURE(sent.err);
    CHECK(sent.exit_code == 0);
    CHECK(sent.out == hub.endpoint() + "/good/sharded/discussions/7\n");
    REQUIRE(posts().size() == 1);
    const Json post = posts().front();
    CHECK(post["title"] == "How much memory good/sharded needs");
    CHECK(post["pullRequest"] == false);
    CHECK(shown.out == post["title"].get<std::string>() + "\n\n" + post["description"].get<std::string>());
  }

  TEST_CASE("refuses what is no repository, and --yes alone") {
    TempFolder folder;
    const std::string config = folder.write("config.json", R"({"model_type": "bert"})").string();
    CHECK(run_binary({"estimate-memory", config, "--post-discussion"}).exit_code == 2);
    CHECK(run_binary({"estimate-memory", "gpt2", "--yes"}).exit_code == 2);
    CHECK(run_binary({"estimate-memory", "gpt2", "bert-base-cased", "--post-discussion"}).exit_code == 2);
  }
}

}  // namespace bigmodel::test
