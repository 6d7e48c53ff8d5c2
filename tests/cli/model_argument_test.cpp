// SPDX-License-Identifier: Apache-2.0
// What MODEL may be, from outside: paths, names, revisions, addresses, the cache, the catalog and the Hub, in that order.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "cli/run_binary.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

const std::string kCommit(40, 'c');
constexpr const char* kTiny = R"({"model_type": "bert", "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1,
  "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 4})";

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// A home with a Hub cache of its own.
struct Home {
  TempFolder folder;
  std::map<std::string, std::string> environment;
  Home() { environment = {{"HF_HOME", folder.path().string()}}; }
  void online(const LoopbackHub& hub) {
    environment["HF_HUB_OFFLINE"] = "0";
    environment["HF_ENDPOINT"] = hub.endpoint();
  }
  void cache(const std::string& repo, const std::string& revision, const std::string& file = "config.json") const {
    folder.write("hub/" + repo + "/refs/" + revision, kCommit);
    folder.write("hub/" + repo + "/snapshots/" + kCommit + "/" + file, kTiny);
  }
  RunResult run(std::vector<std::string> args, const std::string& input = {}) const {
    args.insert(args.begin(), {"estimate-memory", "--json"});
    return run_binary(args, {.input = input, .environment = environment});
  }
};

std::string source(const RunResult& r) {
  return r.exit_code == 0 ? Json::parse(r.out).at("source").get<std::string>() : "exit " + std::to_string(r.exit_code) + " " + r.err;
}

}  // namespace

TEST_SUITE("cli/model_argument") {
  TEST_CASE("a config on standard input, a file and a folder") {
    const Home home;
    const std::string file = home.folder.write("m/config.json", kTiny).string();
    CHECK(source(home.run({"-"}, kTiny)) == "file");
    CHECK(source(home.run({file})) == "file");
    CHECK(source(home.run({(home.folder / "m").string()})) == "folder");
    CHECK(source(home.run({home.folder.path().string(), "--subfolder", "m"})) == "folder");
  }

  TEST_CASE("what is no config says so") {
    const Home home;
    const auto error = [&](const std::string& name, std::string_view content) {
      const RunResult r = run_binary({"estimate-memory", home.folder.write(name, content).string()});
      CHECK(r.exit_code == 6);
      return r.err;
    };
    CHECK(contains(error("a/config.json", "\x80\x02}q\x00."), "a PyTorch checkpoint (pickle), expected a config.json"));
    CHECK(contains(error("b/config.json", "PK\x03\x04rubbish"), "a PyTorch checkpoint (pickle), expected a config.json"));
    CHECK(contains(error("c/config.json", "version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"));
    CHECK(contains(error("d/model.safetensors", "x"), "a checkpoint file, expected a config.json or a folder"));
    home.folder.write("e/model_index.json", "{}");
    CHECK(run_binary({"estimate-memory", (home.folder / "e").string()}).exit_code == 3);
    const RunResult diffusers = run_binary({"inspect", (home.folder / "e").string()});
    CHECK(diffusers.exit_code == 3);
    CHECK(contains(diffusers.err, "the folder has no config.json; a diffusers pipeline: name a part with --subfolder"));
  }

  TEST_CASE("the cache comes before the catalog, under the typed or the other name of a repository") {
    const Home home;
    CHECK(source(home.run({"bert-base-cased"})) == "catalog");
    home.cache("models--google-bert--bert-base-cased", "main");
    const RunResult r = home.run({"bert-base-cased"});
    CHECK(source(r) == "cache");
    CHECK(contains(r.err, "using cache google-bert/bert-base-cased@ccccccc"));
    CHECK(source(home.run({"google-bert/bert-base-cased"})) == "cache");
  }

  TEST_CASE("revisions, addresses and subfolders of the cache") {
    const Home home;
    home.cache("models--a--b", "v1");
    home.cache("models--a--b", "refs/pr/2");
    home.cache("models--a--b", "v1", "sub/config.json");
    for (const std::vector<std::string>& args :
         std::vector<std::vector<std::string>>{{"a/b@v1"}, {"a/b", "--revision", "v1"}, {"a/b@" + kCommit}, {"hf://a/b@refs/pr/2"},
          {"https://huggingface.co/a/b/tree/v1"}, {"https://huggingface.co/a/b/blob/v1/config.json"},
          {"https://hf.co/a/b/tree/refs%2Fpr%2F2"}, {"a/b@v1", "--subfolder", "sub"}, {"https://hf.co/a/b/tree/v1/sub"}}) {
      CAPTURE(args[0]);
      CHECK(source(home.run(args)) == "cache");
    }
    CHECK(contains(source(home.run({"a/b@v2"})), "exit 5"));
    CHECK(contains(source(home.run({"a/b@v1", "--revision", "v2"})), "exit 2"));
    CHECK(contains(source(home.run({"gpt2@v7"})), "exit 5"));
  }

  TEST_CASE("names that are none") {
    const Home home;
    CHECK(contains(source(home.run({"a/b/c"})), "exit 3"));
    CHECK(contains(source(home.run({"a--b"})), "has '--' or '..'"));
    CHECK(contains(source(home.run({"https://example.org/a/b"})), "exit 2"));
    CHECK(contains(source(home.run({"https://huggingface.co/datasets/squad"})), "exit 2"));
    CHECK(contains(source(home.run({"gpt2", "--token-file", "/no/such/token"})), "exit 3"));
  }

  TEST_CASE("the Hub is asked last, for config.json alone, and its answer is kept") {
    const LoopbackHub hub;
    Home home;
    home.online(hub);
    CHECK(source(home.run({"gpt2"})) == "catalog");
    CHECK(hub.requests().empty());
    const RunResult first = home.run({"good/model"});
    CHECK(source(first) == "hub");
    CHECK(contains(first.err, "using hub good/model@ccccccc"));
    CHECK(hub.requests().size() == 2);
    CHECK(hub.count("GET", "config.json") == 1);
    CHECK(source(home.run({"good/model"})) == "cache");
    CHECK(source(home.run({"good/model", "--offline"})) == "cache");
    CHECK(source(home.run({hub.endpoint() + "/good/model/blob/v1/onnx/config.json"})) == "hub");
    CHECK(source(home.run({"good/model@v1", "--subfolder", "onnx"})) == "cache");
  }

  TEST_CASE("the Hub's refusals have their exit codes") {
    const LoopbackHub hub;
    Home home;
    home.online(hub);
    CHECK(home.run({"no/such"}).exit_code == 3);
    CHECK(home.run({"good/model@v9"}).exit_code == 3);
    CHECK(home.run({"good/big", "--subfolder", "unet"}).exit_code == 3);
    CHECK(home.run({"gated/model"}).exit_code == 4);
    CHECK(home.run({"fault/403"}).exit_code == 4);
    CHECK(home.run({"fault/redirect-loop"}).exit_code == 5);
    CHECK(home.run({"good/model@v1", "--offline"}).exit_code == 5);
    CHECK(contains(home.run({"good/modell"}).err, "the Hub has no such model"));
    home.environment["HF_ENDPOINT"] = "http://127.0.0.1:1";
    const RunResult nobody = home.run({"good/model"});
    CHECK(nobody.exit_code == 5);
    CHECK(contains(nobody.err, "not in the cache nor the catalog, and the Hub cannot be asked: 127.0.0.1: no connection"));
  }

  TEST_CASE("a token comes from a file, and never shows") {
    const LoopbackHub hub;
    Home home;
    home.online(hub);
    home.environment["HF_DEBUG"] = "1";
    const std::string file = home.folder.write("secret", "hf_good\n").string();
    const RunResult r = home.run({"gated/model", "--token-file", file});
    CHECK(source(r) == "hub");
    CHECK(contains(r.err, "curl -X HEAD"));
    CHECK(contains(r.err, "<masked>"));
    CHECK_FALSE(contains(r.err, "hf_good"));
    CHECK(contains(home.run({"gated/model@v1"}).err, "gated, and access is not granted (no token was sent)"));
  }
}

}  // namespace bigmodel::test
