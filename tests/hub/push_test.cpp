// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/push.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "bigmodel/io/sha256.h"
#include "hub/test_client.h"
#include "support/loopback_hub.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::json;

const std::string kLarge(1'234'567, 'x');  // above the server's part size

std::string sha256(const std::string& text) { return sha256_hex(std::as_bytes(std::span(text))); }

struct Fixture {
  TempFolder folder;
  LoopbackHub hub;
  TestClient client{hub.endpoint(), [](HubSettings& s) {
                      s.token = "hf_good";
                      s.token_source = "HF_TOKEN";
                    }};
  PushPlan plan(const std::string& repo, std::vector<std::string> exclude = {}) const { return plan_push(folder.path(), repo, "main", {}, exclude); }
  /// The lines of the last commit.
  std::vector<Json> commit() const {
    std::vector<Json> out;
    for (const auto& request : hub.requests()) {
      if (request.path.find("/commit/") == std::string::npos) continue;
      out.clear();
      std::istringstream lines(request.body);
      for (std::string line; std::getline(lines, line);) out.push_back(Json::parse(line));
    }
    return out;
  }
};

}  // namespace

TEST_SUITE("hub/push") {
  TEST_CASE("a new repository gets plain files in the commit and large ones by the storage") {
    Fixture f;
    f.folder.write("config.json", "{\"a\": 1}\n");
    f.folder.write("sub/empty.bin", "");
    f.folder.write("small.bin", "small");
    f.folder.write("known.bin", "7 bytes");
    f.folder.write("model.safetensors", kLarge);
    f.folder.write(".git/config", "x");
    f.folder.write(".cache/huggingface/x", "x");
    bool created = false;
    PushPlan plan = f.plan(create_repository(*f.client, "me/fresh", true, created));
    CHECK(created);
    CHECK(plan.assumed);
    REQUIRE(plan.files.size() == 5);
    ask_modes(*f.client, plan);
    CHECK_FALSE(plan.assumed);
    const PushResult result = push(*f.client, plan, {.message = "First", .connections = 3});
    CHECK(result.commit == std::string(40, 'f'));
    CHECK(result.sent_bytes == 9 + 5 + kLarge.size());
    CHECK(result.known_bytes == 7);
    const std::vector<Json> lines = f.commit();
    REQUIRE(lines.size() == 6);
    CHECK(lines[0]["value"]["summary"] == "First");
    CHECK(lines[1] == Json{{"key", "file"}, {"value", {{"content", "eyJhIjogMX0K"}, {"path", "config.json"}, {"encoding", "base64"}}}});
    CHECK(lines[2]["value"] == Json{{"content", ""}, {"path", "sub/empty.bin"}, {"encoding", "base64"}});
    CHECK(lines[4] == Json{{"key", "lfsFile"}, {"value", {{"path", "model.safetensors"}, {"algo", "sha256"}, {"oid", sha256(kLarge)}, {"size", kLarge.size()}}}});
    std::map<std::string, std::string> sent;  // path -> digest
    for (const auto& request : f.hub.requests()) {
      if (request.method == "PUT") sent[request.path.substr(request.path.rfind('/') + 1)] = request.body;
      if (request.method == "PUT") CHECK_FALSE(request.headers.contains("authorization"));
      if (request.path == "/api/repos/create") {
        CHECK(Json::parse(request.body) == Json{{"name", "fresh"}, {"organization", "me"}, {"type", "model"}, {"visibility", "private"}});
      }
      if (request.path.ends_with("/complete")) CHECK(Json::parse(request.body)["parts"].size() == 4);
      if (request.path.ends_with("/verify")) CHECK(Json::parse(request.body) == Json{{"oid", sha256("small")}, {"size", 5}});
    }
    CHECK(sent.size() == 5);
    CHECK(sent["2"] == "sha256 " + sha256(kLarge.substr(400'000, 400'000)));
    CHECK(sent["4"] == "sha256 " + sha256(kLarge.substr(1'200'000)));
    CHECK(sent["fail-once"] == "sha256 " + sha256("small"));
    CHECK(f.hub.count("PUT", "fail-once") == 2);  // the first answer was 500
    CHECK(f.hub.count("POST", "/verify") == 1);
  }

  TEST_CASE("what the repository has is not sent again") {
    Fixture f;
    f.folder.write("README.md", "# a model\n");
    f.folder.write("config.json", "{}");
    f.folder.write("skip.ignored", "x");
    bool created = true;
    CHECK(create_repository(*f.client, "good/model", false, created) == "good/model");
    CHECK_FALSE(created);
    PushPlan plan = f.plan("good/model");
    ask_modes(*f.client, plan);
    CHECK(plan.files[0].mode == PushFile::Mode::unchanged);
    CHECK(plan.files[1].mode == PushFile::Mode::regular);
    CHECK(plan.files[2].mode == PushFile::Mode::ignored);
    const PushResult result = push(*f.client, plan, {.create_pr = true});
    CHECK(result.pull_request_url == "https://huggingface.co/good/model/discussions/1");
    CHECK(f.commit().size() == 2);
    PushPlan none = f.plan("good/model", {"config.json"});
    ask_modes(*f.client, none);
    CHECK(push(*f.client, none, {}).commit.empty());
    CHECK(f.hub.count("POST", "/commit/") == 1);
  }

  TEST_CASE("a name alone is of the account") {
    Fixture f;
    bool created = false;
    CHECK(create_repository(*f.client, "mine", false, created) == "someone/mine");
    CHECK(create_repository(*f.client, "mine", false, created) == "someone/mine");
    CHECK_FALSE(created);
  }

  TEST_CASE("refusals name the file or the repository") {
    Fixture f;
    f.folder.write("a.txt", "a");
    PushPlan absent = f.plan("no/where");
    CHECK_THROWS_AS(ask_modes(*f.client, absent), RepoNotFoundError);
    PushPlan forbidden = f.plan("fault/403");
    ask_modes(*f.client, forbidden);
    CHECK_THROWS_AS(push(*f.client, forbidden, {}), AuthorisationError);
    f.client.settings.token.clear();
    bool created = false;
    CHECK_THROWS_AS(create_repository(*f.client, "me/x", false, created), Error);
    CHECK_THROWS_AS(plan_push(f.folder / "absent", "me/x", "main", {}, {}), NotFoundError);
    std::filesystem::create_directory_symlink(f.folder.path(), f.folder / "loop");
    CHECK_THROWS_AS(f.plan("me/x"), UsageError);
  }
}

}  // namespace bigmodel::test
