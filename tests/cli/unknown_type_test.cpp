// SPDX-License-Identifier: Apache-2.0
// Model types that no description covers: refused by name without a checkpoint, built from tensor names beside one.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kConfig = R"({"model_type": "lama", "architectures": ["LamaForCausalLM"], "auto_map": {"AutoModel": "x.y"}})";

/// Two equal layers of 6 float16 and an embedding of 8; a step counter.
std::string checkpoint() {
  return safetensors_file(R"({"embed.weight": {"dtype": "F16", "shape": [4, 2], "data_offsets": [0, 16]},
    "layers.0.fc.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [16, 28]},
    "layers.1.fc.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [28, 40]},
    "steps": {"dtype": "I64", "shape": [], "data_offsets": [40, 48]}})",
                          std::string(48, '\0'));
}

}  // namespace

TEST_SUITE("cli/unknown_type") {
  TEST_CASE("without a checkpoint the type is refused by name") {
    const TempFolder folder;
    folder.write("config.json", kConfig);
    const RunResult r = run_binary({"estimate-memory", folder.path().string()});
    CHECK(r.exit_code == 6);
    CHECK(r.err.find("'lama'") != std::string::npos);
    CHECK(r.out == "");
  }

  TEST_CASE("beside a checkpoint the graph is that of its names, and the result says so") {
    const TempFolder folder;
    folder.write("config.json", kConfig);
    folder.write("model.safetensors", checkpoint());
    const RunResult r = run_binary({"estimate-memory", folder.path().string(), "--json", "--dtypes", "float32", "float16"});
    REQUIRE(r.exit_code == 0);
    const Json json = Json::parse(r.out);
    CHECK(faults_of("estimate-memory", r.out) == "");
    CHECK(json["class"] == "LamaForCausalLM");
    CHECK(json["parameters"] == 20);
    CHECK(json["tensors"] == 4);
    CHECK(json["dtypes"][0]["largest_layer"]["bytes"] == 32);
    CHECK(json["dtypes"][0]["largest_layer"]["modules"] == Json::parse(R"(["embed"])"));
    CHECK(json["dtypes"][0]["total_bytes"] == 88);
    CHECK(json["assumptions"][0].get<std::string>().find("'lama' is not described") != std::string::npos);
    CHECK(r.err.find("'lama' is not described") != std::string::npos);
  }

  TEST_CASE("inspect shows its tensors and tree") {
    const TempFolder folder;
    folder.write("config.json", kConfig);
    folder.write("model.safetensors", checkpoint());
    const RunResult tensors = run_binary({"inspect", folder.path().string(), "--tensors", "--format", "jsonl"});
    REQUIRE(tensors.exit_code == 0);
    CHECK(tensors.out.starts_with(R"({"name":"embed.weight","kind":"parameter","dtype":"float16","shape":[4,2])"));
    CHECK(tensors.out.find(R"({"name":"steps","kind":"buffer","dtype":"int64","shape":[])") != std::string::npos);
    const RunResult tree = run_binary({"inspect", folder.path().string(), "--tree"});
    CHECK(tree.out.find("layers.0-1 x2") != std::string::npos);
    const RunResult why = run_binary({"inspect", folder.path().string(), "--why", "layers.1.fc.weight"});
    CHECK(why.exit_code == 0);
    CHECK(why.out.find("parameter float16 [2, 3]") != std::string::npos);
  }

  TEST_CASE("a class cannot be chosen where no description says what it is") {
    const TempFolder folder;
    folder.write("config.json", kConfig);
    folder.write("model.safetensors", checkpoint());
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--class", "LamaModel"}).exit_code == 6);
  }

  TEST_CASE("a broken checkpoint is what is reported") {
    const TempFolder folder;
    folder.write("config.json", kConfig);
    folder.write("model.safetensors", checkpoint().substr(0, 60));
    const RunResult r = run_binary({"estimate-memory", folder.path().string()});
    CHECK(r.exit_code == 6);
    CHECK(r.err.find("model.safetensors") != std::string::npos);
  }
}

}  // namespace bigmodel::test
