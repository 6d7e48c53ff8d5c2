// SPDX-License-Identifier: Apache-2.0
// `bigmodel verify` from outside.
#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::json;
using Strings = std::vector<std::string>;

std::string one_tensor(const std::string& name, const std::string& data) {
  const std::string size = std::to_string(data.size());
  return safetensors_file("{\"" + name + R"(":{"dtype":"F32","shape":[)" + std::to_string(data.size() / 4) + "],\"data_offsets\":[0," + size + "]}}", data);
}

/// Tensors a and b in two shards.
void write_shards(const TempFolder& folder, const std::string& name, const std::string& total_size) {
  folder.write(name + "/model-00001-of-00002.safetensors", one_tensor("a", float_bytes({1, 2})));
  folder.write(name + "/model-00002-of-00002.safetensors", one_tensor("b", float_bytes({3})));
  folder.write(name + "/model.safetensors.index.json", R"({"metadata":{"total_size":)" + total_size +
                                                           R"(},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
}

RunResult verify(const TempFolder& folder, Strings args) {
  args.insert(args.begin(), "verify");
  return run_binary(args, {.folder = folder.path().string()});
}

/// Exit code, then the kinds of errors and warnings in their order.
Strings verdict(const TempFolder& folder, Strings args) {
  args.push_back("--json");
  const RunResult r = verify(folder, std::move(args));
  CHECK(faults_of("verify", r.out) == "");
  Strings out{std::to_string(r.exit_code)};
  const Json json = Json::parse(r.out);
  CHECK(json["healthy"] == (r.exit_code == 0));
  for (const Json& finding : json["findings"]) {
    if (finding["severity"] != "note") out.push_back(finding["kind"]);
  }
  return out;
}

}  // namespace

TEST_SUITE("cli/verify") {
  TEST_CASE("a sound checkpoint is healthy") {
    const TempFolder folder;
    write_shards(folder, "m", "12");
    const RunResult r = verify(folder, {"m"});
    CHECK(r.exit_code == 0);
    CHECK(r.out == "m: healthy; 2 tensors, 12 B in 2 files\n");
    CHECK(verdict(folder, {"m"}) == Strings{"0"});
  }

  TEST_CASE("an index that is wrong about sizes, shards or tensors") {
    const TempFolder folder;
    write_shards(folder, "size", "13");
    const RunResult r = verify(folder, {"size"});
    CHECK(r.exit_code == 1);
    CHECK(r.out.find("error: model.safetensors.index.json: total_size is wrong, expected 12, got 13\n") != std::string::npos);
    CHECK(verdict(folder, {"size"}) == Strings{"1", "total_size"});

    write_shards(folder, "lost", "12");
    std::filesystem::remove(folder / "lost/model-00002-of-00002.safetensors");
    CHECK(verdict(folder, {"lost"}) == Strings{"1", "missing_shard"});

    write_shards(folder, "stale", "12");
    folder.write("stale/model-00002-of-00002.safetensors", one_tensor("c", float_bytes({3})));
    CHECK(verdict(folder, {"stale"}) == Strings{"1", "missing_in_shard", "not_in_index"});

    write_shards(folder, "cut", "12");
    folder.write("cut/model-00002-of-00002.safetensors", one_tensor("b", float_bytes({3})).substr(0, 60));
    CHECK(verdict(folder, {"cut"}) == Strings{"1", "unreadable_file"});
  }

  TEST_CASE("what cannot be read at all is an error of its own") {
    const TempFolder folder;
    folder.write("m/model.safetensors", one_tensor("a", float_bytes({1})) + "tail");
    const RunResult r = verify(folder, {"m"});
    CHECK(r.exit_code == 6);
    CHECK(r.out == "");
    CHECK(verify(folder, {"nowhere"}).exit_code == 3);
  }

  TEST_CASE("a checkpoint of another project whose config describes another model is not healthy") {
    const auto data = shared_path("data");
    if (!data) return;
    // MANIFEST.json: 62 layers claimed, one layer of 100x100 tensors.
    const RunResult r = run_binary({"verify", (*data / "checkpoints/ollama--ollama/convert/testdata/minicpm3-4b").string(), "--json"});
    CHECK(r.exit_code == 1);
    CHECK(faults_of("verify", r.out) == "");
    std::map<std::string, int> kinds;
    const Json json = Json::parse(r.out);
    for (const Json& finding : json["findings"]) ++kinds[finding["kind"]];
    CHECK(kinds["shape_mismatch"] > 0);
    CHECK(kinds["missing_key"] > 61);
    CHECK(kinds["unreadable_file"] == 0);
  }

  TEST_CASE("names and shapes are held against the config's model, wanted and given") {
    const TempFolder folder;
    folder.write("m/config.json", R"({"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 4, "num_hidden_layers": 0, "num_attention_heads": 1,
      "intermediate_size": 4, "vocab_size": 3, "max_position_embeddings": 2, "type_vocab_size": 1})");
    folder.write("m/model.safetensors", safetensors_file(R"({"embeddings.word_embeddings.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})",
                                                         float_bytes({1, 2})));
    const RunResult r = verify(folder, {"m"});
    CHECK(r.exit_code == 1);
    CHECK(r.out.find("error: embeddings.word_embeddings.weight: expected [3, 4], got [2, 1] (BertModel)\n") != std::string::npos);
    CHECK(r.out.find("error: \"x\": BertModel has no such tensor\n") != std::string::npos);
    CHECK(r.out.find("error: \"pooler.dense.weight\": BertModel expects it and no file has it\n") != std::string::npos);
    CHECK(verdict(folder, {"m/model.safetensors"})[0] == "1");
  }

  TEST_CASE("--deep counts what is no number and names every tensor's digest") {
    const TempFolder folder;
    const float inf = std::numeric_limits<float>::infinity();
    folder.write("m/model.safetensors", one_tensor("a", float_bytes({1, std::numeric_limits<float>::quiet_NaN(), inf, -inf})));
    CHECK(verdict(folder, {"m", "--deep"}) == Strings{"0", "nan", "inf"});
    const Json json = Json::parse(verify(folder, {"m", "--deep", "--json"}).out);
    CHECK(json["contents"][0]["nan_count"] == 1);
    CHECK(json["contents"][0]["inf_count"] == 2);

    folder.write("zero.safetensors", one_tensor("a", std::string(4, '\0')));
    const RunResult r = verify(folder, {"zero.safetensors", "--deep"});
    // sha256sum of four zero bytes
    CHECK(r.out.find("df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119  a\n") != std::string::npos);
  }

  TEST_CASE("--against finds what another checkpoint has otherwise, across cuts and formats") {
    const TempFolder folder;
    write_shards(folder, "m", "12");
    CHECK(run_binary({"shard", "m", "--merge", "--format", "bin", "--output", "bin"}, {.folder = folder.path().string()}).exit_code == 0);
    CHECK(verdict(folder, {"m", "--against", "bin"}) == Strings{"0"});
    CHECK(verdict(folder, {"bin", "--against", "m"}) == Strings{"0"});

    write_shards(folder, "other", "12");
    folder.write("other/model-00001-of-00002.safetensors", one_tensor("a", float_bytes({1, 5})));
    const RunResult r = verify(folder, {"m", "--against", "other"});
    CHECK(r.exit_code == 1);
    CHECK(r.out.find("tensor \"a\" differs from other in element 1\n") != std::string::npos);
    CHECK(verdict(folder, {"m", "--against", "other"}) == Strings{"1", "value_differs"});

    folder.write("less.safetensors", one_tensor("a", float_bytes({1})));
    CHECK(verdict(folder, {"m", "--against", "less.safetensors"}) == Strings{"1", "shape_differs", "only_here"});
    CHECK(verdict(folder, {"less.safetensors", "--against", "m"}) == Strings{"1", "shape_differs", "only_there"});
  }
}

}  // namespace bigmodel::test
