// SPDX-License-Identifier: Apache-2.0
// What `bigmodel estimate-memory` says of a checkpoint that lies beside the config: its headers agree with the graph, or where they do not.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

std::string config(int layers, int vocab_size) {
  return Json{{"model_type", "bert"}, {"architectures", {"BertModel"}}, {"vocab_size", vocab_size}, {"hidden_size", 8}, {"intermediate_size", 16},
              {"num_hidden_layers", layers}, {"num_attention_heads", 2}, {"max_position_embeddings", 16}}
      .dump();
}

/// A random checkpoint of two layers, and what an estimate of its folder says.
struct Tiny {
  TempFolder folder;
  std::string model;

  Tiny() {
    folder.write("config.json", config(2, 32));
    model = (folder.path() / "model").string();
    REQUIRE(run_binary({"init", "config.json", "--output", model}, {.folder = folder.path().string()}).exit_code == 0);
  }
  Json estimate() const {
    const RunResult r = run_binary({"estimate-memory", model, "--json"});
    REQUIRE(r.exit_code == 0);
    return Json::parse(r.out);
  }
};

bool one_says(const Json& lines, const std::string& words) {
  for (const Json& line : lines) {
    if (line.get<std::string>().find(words) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_SUITE("cli/checkpoint_beside_config") {
  TEST_CASE("headers that agree are an assumption that held") {
    const Tiny tiny;
    const Json json = tiny.estimate();
    CHECK(one_says(json.at("assumptions"), "the checkpoint's headers agree: 39 tensors of BertModel"));
    CHECK(json.at("warnings").empty());
    CHECK(run_binary({"estimate-memory", tiny.model}).err == "");
  }

  TEST_CASE("what is missing, unexpected or of another shape is named, and the estimate is the graph's") {
    Tiny tiny;
    tiny.folder.write("model/config.json", config(3, 32));
    CHECK(one_says(tiny.estimate().at("warnings"), "the checkpoint disagrees with BertModel: missing 16 (encoder.layer.2."));
    tiny.folder.write("model/config.json", config(1, 32));
    CHECK(one_says(tiny.estimate().at("warnings"), "unexpected 16 (encoder.layer.1."));
    tiny.folder.write("model/config.json", config(2, 33));
    const Json json = tiny.estimate();
    CHECK(one_says(json.at("warnings"), "of another shape 1 (embeddings.word_embeddings.weight: expected [33, 8], got [32, 8])"));
    CHECK(json.at("source") == "folder");
    CHECK_FALSE(one_says(json.at("assumptions"), "headers agree"));
    const RunResult table = run_binary({"estimate-memory", tiny.model});
    CHECK(table.exit_code == 0);
    CHECK(table.err.find("of another shape 1 (embeddings.word_embeddings.weight: expected [33, 8], got [32, 8])") != std::string::npos);
  }

  TEST_CASE("a checkpoint that cannot be read is a warning, for an estimate needs none") {
    const Tiny tiny;
    std::filesystem::resize_file(std::filesystem::path(tiny.model) / "model.safetensors", 20);
    CHECK(one_says(tiny.estimate().at("warnings"), "the checkpoint beside the config cannot be compared: "));
  }
}

}  // namespace bigmodel::test
