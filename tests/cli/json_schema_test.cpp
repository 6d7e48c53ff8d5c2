// SPDX-License-Identifier: Apache-2.0
// The checker itself, every schema of the repository, and every command that can run anywhere.
#include "cli/json_schema.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>

#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::json;

bool conforms(const char* schema, const char* value) {
  return schema_faults(Json::parse(schema), Json::parse(value)).empty();
}

constexpr const char* kBert =
    R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 28996, "num_hidden_layers": 2})";

}  // namespace

TEST_SUITE("cli/json_schema") {
  TEST_CASE("the checker sees each kind of fault") {
    CHECK_FALSE(conforms(R"({"type": "integer"})", "1.5"));
    CHECK_FALSE(conforms(R"({"type": "integer", "minimum": 0})", "-1"));
    CHECK_FALSE(conforms(R"({"const": "a"})", "\"b\""));
    CHECK_FALSE(conforms(R"({"enum": ["a"]})", "\"b\""));
    CHECK_FALSE(conforms(R"({"type": "object", "required": ["a"]})", "{}"));
    CHECK_FALSE(conforms(R"({"properties": {"a": {"type": "string"}}})", R"({"a": 1})"));
    CHECK_FALSE(conforms(R"({"items": {"type": "string"}})", "[1]"));
    CHECK_FALSE(conforms(R"({"minItems": 1})", "[]"));
    CHECK_FALSE(conforms(R"({"maxItems": 1})", "[1, 2]"));
    CHECK_FALSE(conforms(R"({"pattern": "^a$"})", "\"b\""));
    CHECK_FALSE(conforms(R"({"anyOf": [{"type": "string"}, {"type": "array"}]})", "1"));
    CHECK_FALSE(conforms(R"({"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}})", "1"));
    CHECK(conforms(R"({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})", R"({"a": 1, "b": 2})"));
    CHECK_THROWS(conforms(R"({"oneOf": []})", "1"));
  }

  TEST_CASE("every schema file is one the checker understands") {
    for (const auto& entry : std::filesystem::directory_iterator(source_root() / "schemas")) {
      CAPTURE(entry.path().string());
      std::string name = entry.path().filename().string();
      name.resize(name.size() - std::string(".schema.json").size());
      CHECK_NOTHROW(schema_faults(load_schema(name), Json::object()));
    }
  }

  TEST_CASE("what commands print conforms to their schemas") {
    const TempFolder folder;
    const std::string bert = folder.write("config.json", kBert).string();
    CHECK(faults_of("estimate-memory", run_binary({"estimate-memory", bert, "--json"}).out) == "");
    CHECK(faults_of("inspect", run_binary({"inspect", bert, "--json"}).out) == "");
    CHECK(faults_of("inspect", run_binary({"inspect", bert, "--summary", "--json"}).out) == "");
    CHECK(faults_of("inspect", run_binary({"inspect", bert, "--tensors", "--json"}).out) == "");
    CHECK(faults_of("inspect", run_binary({"inspect", bert, "--why", "pooler.dense.bias", "--json"}).out) == "");
    CHECK(faults_of("doctor", run_binary({"doctor", "--json"}).out) == "");
    CHECK(faults_of("error", run_binary({"inspect", "no/such/model", "--json"}).err) == "");
  }

  TEST_CASE("every line of the tensor listing conforms") {
    const TempFolder folder;
    const std::string bert = folder.write("config.json", kBert).string();
    std::istringstream lines(run_binary({"inspect", bert, "--class", "auto", "--tensors", "--format", "jsonl"}).out);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) CHECK(faults_of("inspect-tensor", line) == "");
    CHECK(count > 40);
  }
}

}  // namespace bigmodel::test
