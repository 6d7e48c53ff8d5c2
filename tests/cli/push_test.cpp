// SPDX-License-Identifier: Apache-2.0
// `bigmodel push` from outside, against a Hub on loopback.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

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
  std::map<std::string, std::string> environment{{"HF_HOME", (folder / "hf").string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}, {"HF_TOKEN", "hf_good"}};
  Home() {
    folder.write("m/config.json", "{}\n");
    folder.write("m/model.safetensors", std::string(2'000'000, 'w'));
  }
  RunResult run(std::vector<std::string> args) const {
    args.insert(args.begin(), "push");
    return run_binary(args, {.environment = environment, .folder = folder.path().string()});
  }
};

}  // namespace

TEST_SUITE("cli/push") {
  TEST_CASE("creates, uploads, commits and prints the commit's address") {
    Home home;
    const RunResult r = home.run({"m", "me/new", "--message", "Hello"});
    CHECK(r.exit_code == 0);
    CHECK(r.out == "https://huggingface.co/me/new/commit/" + std::string(40, 'f') + "\n");
    CHECK(r.err == "created me/new\nme/new: 2 of 2 files, 2.00 MB sent\n");
    const RunResult again = home.run({"m", "me/new", "--json", "--create-pr"});
    CHECK(faults_of("push", again.out) == "");
    const Json json = Json::parse(again.out);
    CHECK(json["created"] == false);
    CHECK(json["files"][1] == Json{{"path", "model.safetensors"}, {"size_bytes", 2'000'000}, {"mode", "lfs"}});
    CHECK(json["pull_request_url"] == "https://huggingface.co/me/new/discussions/1");
  }

  TEST_CASE("a dry run changes nothing") {
    Home home;
    const RunResult guessed = home.run({"m", "me/new", "--dry-run"});
    CHECK(guessed.out.starts_with("would send 2 of 2 files of m to me/new, 2.00 MB of 2.00 MB\n"));
    CHECK(guessed.err == "me/new is not there yet: how files go is guessed by name and size\n");
    CHECK(home.hub.count("POST", "create") == 0);
    CHECK(home.hub.count("POST", "commit") == 0);
    const RunResult asked = home.run({"m", "good/model", "-n", "--json", "--exclude", "*.safetensors"});
    CHECK(faults_of("push", asked.out) == "");
    CHECK(Json::parse(asked.out)["assumed"] == false);
    const std::size_t before = home.hub.requests().size();
    CHECK(Json::parse(home.run({"m", "good/model", "-n", "--json", "--offline"}).out)["assumed"] == true);
    CHECK(home.hub.requests().size() == before);
  }

  TEST_CASE("nothing new is no commit") {
    Home home;
    home.folder.write("readme/README.md", "# a model\n");
    const RunResult r = home.run({"readme", "good/model"});
    CHECK(r.exit_code == 0);
    CHECK(r.out == home.hub.endpoint() + "/good/model\n");
    CHECK(r.err == "good/model has all 1 files already: no commit\n");
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
    error({"absent", "me/new"}, 3, "absent: no such folder");
    error({"m", "me/new", "--include", "*.gguf"}, 3, "m: no file to send");
    error({"m", "me/new", "--offline"}, 5, "the network is off (--offline)");
    error({"m", "fault/403"}, 4, "fault/403: forbidden");
    error({"m", "a/b/c"}, 2, "a/b/c");
    home.environment.erase("HF_TOKEN");
    error({"m", "me/new"}, 4, "me/new: publishing needs a token, and there is none");
  }
}

}  // namespace bigmodel::test
