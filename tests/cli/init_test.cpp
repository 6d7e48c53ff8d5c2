// SPDX-License-Identifier: Apache-2.0
// `bigmodel init` from outside, alone and with `bigmodel shard`.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/io/read_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kLlama = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true, "torch_dtype": "bfloat16"})";

}  // namespace

TEST_SUITE("cli/init") {
  TEST_CASE("the documented case: bert-base-cased at 200MB gives three shards of 433245184 bytes") {
    const TempFolder folder;
    const std::string at = folder.path().string();
    const RunResult made = run_binary({"init", "bert-base-cased", "--buffers", "embeddings.position_ids", "--json"}, {.folder = at});
    CHECK(made.exit_code == 0);
    CHECK(faults_of("init", made.out) == "");
    CHECK(Json::parse(made.out)["total_size"] == 433245184);
    const Checkpoint whole = open_checkpoint(folder / "bert-base-cased");
    CHECK(whole.tensors[0].name == "embeddings.position_ids");
    CHECK(whole.tensors[0].dtype == DType::int64);
    for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--format", "bin", "--force"}}) {
      std::vector<std::string> args{"shard", "bert-base-cased", "--max-shard-size", "200MB", "--json"};
      args.insert(args.end(), more.begin(), more.end());
      const Json json = Json::parse(run_binary(args, {.folder = at}).out);
      CHECK(json["total_size"] == 433245184);
      CHECK(json["files"].size() == 3);
    }
    fs::remove_all(folder / "bert-base-cased-sharded");
    CHECK(Json::parse(run_binary({"init", "bert-base-cased", "--dry-run", "--json"}, {.folder = at}).out)["total_size"] == 433241088);
  }

  TEST_CASE("writes what the class is saved as, and a config that says so") {
    const TempFolder folder;
    folder.write("config.json", kLlama);
    const auto init = [&](std::vector<std::string> args) {
      args.insert(args.begin(), {"init", "config.json"});
      return run_binary(args, {.folder = folder.path().string()});
    };
    CHECK(init({"--class", "auto", "-o", "a", "--seed", "7"}).exit_code == 0);
    const Checkpoint a = open_checkpoint(folder / "a");
    CHECK(a.tensors.size() == 2 + 2 * 9);
    CHECK(a.tensors.front().name == "model.embed_tokens.weight");
    CHECK(a.tensors.back().name == "model.norm.weight");
    CHECK(std::ranges::all_of(a.tensors, [](const CheckpointTensor& t) { return t.dtype == DType::bfloat16; }));
    const Json config = Json::parse(read_file(folder / "a/config.json", 10000));
    CHECK(config["architectures"] == Json{"LlamaForCausalLM"});
    CHECK(config["torch_dtype"] == "bfloat16");
    CHECK(init({"--class", "auto", "-o", "b", "--seed", "7"}).exit_code == 0);
    CHECK(init({"--class", "auto", "-o", "c", "--seed", "8"}).exit_code == 0);
    const auto bytes = [&](const char* name) { return read_file(folder / (std::string(name) + "/model.safetensors"), 1'000'000); };
    CHECK(bytes("a") == bytes("b"));
    CHECK(bytes("a") != bytes("c"));
    CHECK(init({"--dtype", "float32", "-o", "d", "--max-shard-size", "20KB", "--format", "bin"}).exit_code == 0);
    CHECK(Json::parse(read_file(folder / "d/config.json", 10000))["torch_dtype"] == "float32");
    CHECK(open_checkpoint(folder / "d").files.size() > 2);
    CHECK(run_binary({"run", "a", "--ids", "1,2,3", "--max-new-tokens", "2", "--json"}, {.folder = folder.path().string()}).exit_code == 0);
  }

  TEST_CASE("what cannot be made ends with its own exit code") {
    const TempFolder folder;
    folder.write("config.json", kLlama);
    folder.write("full/x", "x");
    const auto fails = [&](std::vector<std::string> args, int code, const char* words) {
      args.insert(args.begin(), "init");
      const RunResult r = run_binary(args, {.folder = folder.path().string()});
      CHECK(r.exit_code == code);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
    };
    fails({"config.json", "--buffers", "model.rotary_emb.inv_frq"}, 3, "did you mean 'rotary_emb.inv_freq'");
    fails({"config.json", "--dtype", "int8"}, 2, "no floating-point type");
    fails({"config.json", "--output", "full"}, 2, "use --force");
    fails({"none-such"}, 5, "none-such");
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}) == 2);
  }
}

}  // namespace bigmodel::test
