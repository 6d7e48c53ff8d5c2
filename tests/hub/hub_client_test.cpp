// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/hub_client.h"

#include <doctest/doctest.h>

#include "bigmodel/hub/curl_transport.h"
#include "support/loopback_hub.h"
#include "hub/test_client.h"

namespace bigmodel::test {
namespace {

template <typename Call>
std::string failure(const Call& call) {
  try {
    call();
    return "no failure";
  } catch (const Error& e) {
    return std::string(to_string(e.kind())) + ": " + e.what();
  }
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

const std::string kCommit(40, 'c');

}  // namespace

TEST_SUITE("hub/hub_client") {
  TEST_CASE("reads links, ranges, origins and references") {
    CHECK(next_link(R"(<https://a/b?x=1>; rel="next")") == "https://a/b?x=1");
    CHECK(next_link(R"(<https://a/p>; rel="prev", <https://a/n>; rel="next")") == "https://a/n");
    CHECK(next_link("<https://a/p") == "");
    CHECK(parse_content_range("bytes 0-9/100")->total == 100);
    for (const char* text : {"bytes 0-9/*", "bytes 9-0/100", "bytes 0-100/100", "items 0-1/2", "bytes -1-2/3", "bytes 0-9/100x"}) {
      CAPTURE(text);
      CHECK_FALSE(parse_content_range(text));
    }
    CHECK(url_origin("HTTPS://HF.co/a") == "https://hf.co:443");
    CHECK(url_origin("http://[::1]:80/a") == "http://[::1]:80");
    CHECK(url_origin("https://user@evil.example/a") == "");
    CHECK(url_origin("ftp://a/b") == "");
    CHECK(url_origin("https://hf.co\\@evil.example") == "https://hf.co:443");
    CHECK(resolved_url("https://a/b/c?d", "/x?y") == "https://a/x?y");
    CHECK(resolved_url("https://a/b", "//c/d") == "https://c/d");
    CHECK(resolved_url("https://a/b", "x") == "");
    CHECK(at_endpoint("https://huggingface.co/api/x", "http://m") == "http://m/api/x");
    CHECK(at_endpoint("https://huggingface.co.evil/x", "http://m") == "https://huggingface.co.evil/x");
  }

  TEST_CASE("shows requests without their secrets") {
    CHECK(as_curl_command({.method = "GET", .url = "https://hf.co/a", .headers = {{"authorization", "Bearer x"}, {"range", "bytes=0-1"}}}) ==
          "curl -X GET -H 'authorization: <masked>' -H 'range: bytes=0-1' 'https://hf.co/a'");
    CHECK(as_curl_command({.method = "GET", .url = "https://cdn/a?Signature=z"}) == "curl -X GET 'https://cdn/a?<masked>'");
  }

  TEST_CASE("a small file's metadata is on the first answer, a large one's on its redirect") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    const FileMetadata config = client->file_metadata("good/model", "main", "config.json");
    CHECK(config.commit == kCommit);
    CHECK(config.etag.size() == 40);
    CHECK(config.size_bytes == 82);
    const FileMetadata weights = client->file_metadata("good/model", "refs/pr/1", "model.safetensors");
    CHECK(weights.commit == std::string(40, 'd'));
    CHECK(weights.etag.size() == 64);
    CHECK(weights.size_bytes == 300'000);
    CHECK(weights.location.starts_with(hub.cdn_origin()));
    CHECK(hub.count("HEAD", "refs%2Fpr%2F1") == 1);
    CHECK(hub.count("HEAD", "Signature") == 0);
  }

  TEST_CASE("follows a renamed repository and keeps the query of a relative redirect") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    CHECK(client->file_metadata("good/renamed", "main", "config.json").commit == kCommit);
    CHECK(client->file_metadata("old-name", "main", "config.json").commit == kCommit);
  }

  TEST_CASE("the token goes to the endpoint only") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint(), [](HubSettings& s) { s.token = "hf_good"; });
    client->file_metadata("gated/model", "main", "model.safetensors");
    CHECK(client->read_range("gated/model", "main", "model.safetensors", 0, 10).size() == 10);
    bool at_home = false;
    for (const LoopbackHub::Request& request : hub.requests()) {
      CAPTURE(request.path);
      CHECK(request.headers.contains("authorization") == (request.server == "hub"));
      at_home = at_home || request.server == "hub";
    }
    CHECK(at_home);
    CHECK(hub.count("GET", "Signature") == 1);
  }

  TEST_CASE("tells what is missing apart, in plain words") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint(), [](HubSettings& s) {
      s.token = "hf_other";
      s.token_source = "HF_TOKEN";
    });
    const auto head = [&](const std::string& repo, const std::string& revision = "main", const std::string& path = "config.json") {
      return failure([&] { client->file_metadata(repo, revision, path); });
    };
    CHECK(contains(head("no/such"), "not_found: no/such: the Hub has no such model, or not for this account (with the token of HF_TOKEN)"));
    CHECK(contains(head("good/model", "v9"), "not_found: good/model: no branch, tag or commit 'v9'"));
    CHECK(contains(head("good/model", "main", "x.json"), "not_found: good/model: no file x.json at ccccccc"));
    CHECK(contains(head("gated/model"), "authorisation: gated/model: gated, and access is not granted"));
    CHECK(contains(head("gated/model"), "ask for access on " + hub.endpoint() + "/gated/model"));
    CHECK(contains(head("fault/bad-token"), "authorisation: fault/bad-token: the token of HF_TOKEN is wrong or has expired"));
    CHECK(contains(head("fault/disabled"), "authorisation: fault/disabled: the Hub has disabled access"));
    CHECK(contains(head("fault/403"), "authorisation: fault/403: forbidden: No write permission"));
    CHECK(contains(head("fault/teapot"), "network: fault/teapot: unexpected status 418"));
    CHECK(contains(head("fault/no-commit"), "has no usable X-Repo-Commit"));
    CHECK(contains(head("fault/no-etag"), "has no usable ETag"));
    CHECK(contains(head("fault/evil-path"), "has no usable ETag"));
    CHECK(contains(head("fault/redirect-loop"), "more than 10 redirects"));
    CHECK(client.waits.empty());
    TestClient nobody(hub.endpoint());
    CHECK(contains(failure([&] { nobody->file_metadata("gated/model", "main", "config.json"); }), "then set HF_TOKEN or pass --token-file"));
  }

  TEST_CASE("tries again after 5xx with growing waits, and gives up in the end") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    CHECK(client->file_metadata("fault/500-twice", "main", "config.json").commit == kCommit);
    CHECK(client.waits == std::vector<long>{500, 1000});
    client.waits.clear();
    CHECK(contains(failure([&] { client->file_metadata("fault/500", "main", "config.json"); }), "network: fault/500: the server failed with status 500"));
    CHECK(client.waits == std::vector<long>{500, 1000, 2000, 4000, 4000});
  }

  TEST_CASE("waits as long as a rate limit asks, and says a wait that is too long") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    CHECK(client->file_metadata("fault/429-once", "main", "config.json").commit == kCommit);
    CHECK(client.waits == std::vector<long>{3000});
    client.waits.clear();
    CHECK(contains(failure([&] { client->file_metadata("fault/429-long", "main", "config.json"); }), "rate limit is reached"));
    CHECK(contains(failure([&] { client->file_metadata("fault/429-long", "main", "config.json"); }), "wait 250 s"));
    CHECK(client.waits.empty());
  }

  TEST_CASE("a server that does not answer is left after the time set") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint(), [](HubSettings& s) { s.metadata_timeout = std::chrono::seconds(1); });
    CHECK(contains(failure([&] { client->file_metadata("fault/slow", "main", "config.json"); }), "network: 127.0.0.1: no answer in time"));
    CHECK(client.waits.size() == 1);
  }

  TEST_CASE("nobody at the address is said after one more try") {
    TestClient client("http://127.0.0.1:1");
    CHECK(contains(failure([&] { client->file_metadata("a/b", "main", "config.json"); }), "network: 127.0.0.1: no connection"));
    CHECK(client.waits.size() == 1);
  }

  TEST_CASE("offline nothing is asked") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint(), [](HubSettings& s) {
      s.offline = true;
      s.offline_source = "--offline";
    });
    CHECK(contains(failure([&] { client->file_metadata("good/model", "main", "config.json"); }), "network: 127.0.0.1: the network is off (--offline)"));
    CHECK(hub.requests().empty());
  }

  TEST_CASE("lists files over pages, back at the endpoint") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    CHECK(client->resolve_commit("good/model", "v1") == kCommit);
    CHECK(client->resolve_commit("good/model", kCommit) == kCommit);
    const std::vector<RepoFile> files = client->list_files("good/model", kCommit);
    REQUIRE(files.size() == 6);
    CHECK(files[0].path == "README.md");
    CHECK(files[4].path == "model.safetensors");
    CHECK(files[4].size_bytes == 300'000);
    CHECK(files[4].etag.size() == 64);
    CHECK(contains(failure([&] { client->list_files("fault/evil-path", kCommit); }), "format: fault/evil-path: the list of files has a path that is none"));
    CHECK(contains(failure([&] { client->resolve_commit("fault/long-json", "main"); }), "format: answer about fault/long-json"));
  }

  TEST_CASE("reads parts of files, also from servers that send the whole one") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    std::uint64_t size = 0;
    const std::string part = client->read_range("good/model", "main", "model.safetensors", 100, 50, &size);
    CHECK(size == 300'000);
    CHECK(part.size() == 50);
    CHECK(client->read_range("fault/no-ranges", "main", "model.safetensors", 100, 50, &size) == part);
    CHECK(size == 300'000);
    CHECK(client->read_range("good/model", "main", "model.safetensors", 299'990, 50).size() == 10);
    CHECK(client->read_range("fault/truncate-once", "main", "model.safetensors", 100, 50) == part);
    CHECK(client.waits.size() == 1);
    CHECK(contains(failure([&] { client->read_range("fault/wrong-range", "main", "model.safetensors", 100, 50); }), "answered with another range"));
  }

  TEST_CASE("https is verified, and a redirect does not leave it") {
    const LoopbackHub hub(LoopbackHub::Scheme::https);
    TestClient strict(hub.endpoint());
    CHECK(contains(failure([&] { strict->file_metadata("good/model", "main", "config.json"); }), "network: 127.0.0.1: its certificate is not trusted"));
    CHECK(strict.waits.empty());
    TestClient client(hub.endpoint(), [&](HubSettings& s) { s.ca_file = hub.certificate(); });
    CHECK(client->file_metadata("good/model", "main", "config.json").commit == kCommit);
    CHECK(client->read_range("good/model", "main", "model.safetensors", 0, 10).size() == 10);
    CHECK(contains(failure([&] { client->read_range("fault/to-http", "main", "model.safetensors", 0, 10); }), "redirects to an unencrypted address"));
  }

  TEST_CASE("server notices are shown once a topic") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    client->file_metadata("good/model", "main", "config.json");
    client->file_metadata("good/model", "main", "README.md");
    CHECK(client.notices == std::vector<std::string>{"be kind"});
  }
}

}  // namespace bigmodel::test
