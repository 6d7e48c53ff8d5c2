// SPDX-License-Identifier: Apache-2.0
// `bigmodel inspect` of weight files, from outside.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bigmodel/io/sha256.h"
#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/golden_folders.h"
#include "support/json_lines.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Strings = std::vector<std::string>;

/// Two equal layers, one of another dtype, an embedding.
std::string layers() {
  return safetensors_file(R"({"__metadata__":{"format":"pt"},"emb.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
    "h.0.w":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},"h.1.w":{"dtype":"F32","shape":[1],"data_offsets":[20,24]},
    "h.2.w":{"dtype":"I16","shape":[2],"data_offsets":[24,28]}})",
                          float_bytes({1, -3, 0, 2, 5, 6, 7}));
}

RunResult inspect(const TempFolder& folder, Strings args) {
  args.insert(args.begin(), "inspect");
  return run_binary(args, {.folder = folder.path().string()});
}

/// The rows of --tensors --format jsonl by name; each is held against the schema.
std::map<std::string, Json> rows_of(const RunResult& result) {
  CHECK(result.exit_code == 0);
  std::map<std::string, Json> out;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    CHECK(faults_of("inspect-checkpoint-tensor", line) == "");
    const Json row = Json::parse(line);
    out[row["name"]] = row;
  }
  return out;
}

}  // namespace

TEST_SUITE("cli/inspect_checkpoint") {
  TEST_CASE("says where each tensor lies") {
    const TempFolder folder;
    folder.write("m/a.safetensors", layers());
    const auto rows = rows_of(inspect(folder, {"m/a.safetensors", "--tensors", "--format", "jsonl"}));
    REQUIRE(rows.size() == 4);
    const std::uint64_t data = layers().size() - 28;
    CHECK(rows.at("h.1.w") == Json{{"name", "h.1.w"}, {"kind", "tensor"}, {"dtype", "float32"}, {"shape", {1}}, {"file", "a.safetensors"}, {"offset", data + 20}, {"size_bytes", 4}});
    // The folder has no config.json, so that it is the checkpoint too.
    CHECK(inspect(folder, {"m", "--tensors", "--format", "csv"}).out ==
          "name,dtype,shape,file,offset,bytes,note\n"
          "emb.weight,float32,\"[2, 2]\",a.safetensors," + std::to_string(data) + ",16,\n"
          "h.0.w,float32,[1],a.safetensors," + std::to_string(data + 16) + ",4,\n"
          "h.1.w,float32,[1],a.safetensors," + std::to_string(data + 20) + ",4,\n"
          "h.2.w,int16,[2],a.safetensors," + std::to_string(data + 24) + ",4,\n");
  }

  TEST_CASE("adds up by dtype and by layer, equal layers folded") {
    const TempFolder folder;
    folder.write("m/a.safetensors", layers());
    const RunResult text = inspect(folder, {"m"});
    CHECK(text.out ==
          "m: 4 tensors, 8 parameters, 28 B\n\n"
          "file           container    tensors   size\n"
          "a.safetensors  safetensors        4  " + std::to_string(layers().size()) + " B\n\n"
          "dtype    tensors  parameters  size\n"
          "float32        3           6  24 B\n"
          "int16          1           2   4 B\n\n"
          "layer     tensors  parameters  size  dtypes\n"
          "emb             1           4  16 B  float32\n"
          "h.0-1 x2        1           1   4 B  float32  each\n"
          "h.2             1           2   4 B  int16\n");
    const RunResult r = inspect(folder, {"m", "--json"});
    CHECK(faults_of("inspect-checkpoint", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(json["source"] == "folder");
    CHECK(json["checkpoint"] == Json::parse(R"({"files": 1, "tensors": 4, "parameters": 8, "bytes": 28, "dtypes": {"float32": 24, "int16": 4}})"));
    CHECK(json["files"][0]["metadata"] == Json{{"format", "pt"}});
    CHECK(json["layers"][1] == Json::parse(R"({"name": "h.0-1", "count": 2, "tensors": 1, "parameters": 1, "bytes": 4, "dtypes": {"float32": 4}})"));
    CHECK_FALSE(json.contains("tensors"));
    const Json all = Json::parse(inspect(folder, {"m", "--tensors", "--json"}).out);
    CHECK(all["tensors"].size() == 4);
    CHECK_FALSE(all.contains("layers"));
  }

  TEST_CASE("reads the tensors for statistics and digests") {
    const TempFolder folder;
    folder.write("m/a.safetensors", layers());
    const auto rows = rows_of(inspect(folder, {"m", "--stats", "--digest", "--format", "jsonl"}));
    REQUIRE(rows.size() == 4);
    const Json& row = rows.at("emb.weight");
    CHECK(row["min"] == -3.0);
    CHECK(row["max"] == 2.0);
    CHECK(row["mean"] == 0.0);
    CHECK(row["standard_deviation"].get<double>() == doctest::Approx(1.8708286933869707));  // of -3 0 1 2
    CHECK(row["zero_count"] == 1);
    CHECK(row["nan_count"] == 0);
    const std::string bytes = float_bytes({1, -3, 0, 2});
    CHECK(row["sha256"] == sha256_hex(std::as_bytes(std::span(bytes))));
    CHECK_FALSE(rows_of(inspect(folder, {"m", "--digest", "--format", "jsonl"})).at("h.2.w").contains("min"));
    CHECK(inspect(folder, {"m", "--stats", "--format", "csv"}).out.starts_with("name,dtype,shape,file,offset,bytes,min,max,mean,deviation,zeros,NaN,inf,note\n"));
  }

  TEST_CASE("a config.json beside the files makes it the model, unless the files are asked for") {
    const TempFolder folder;
    folder.write("m/model.safetensors", layers());
    folder.write("m/config.json", R"({"model_type": "gpt2", "n_layer": 1, "n_embd": 4, "n_head": 1, "vocab_size": 3, "n_positions": 2})");
    CHECK(inspect(folder, {"m", "--tensors", "--format", "jsonl"}).out.find("wte.weight") != std::string::npos);
    CHECK(rows_of(inspect(folder, {"m", "--checkpoint", "--tensors", "--format", "jsonl"})).contains("emb.weight"));
    CHECK(rows_of(inspect(folder, {"m", "--digest", "--format", "jsonl"})).contains("emb.weight"));
    CHECK(rows_of(inspect(folder, {"m/model.safetensors", "--tensors", "--format", "jsonl"})).contains("emb.weight"));
  }

  TEST_CASE("what it cannot show is said") {
    const TempFolder folder;
    folder.write("m/a.safetensors", layers());
    folder.write("broken.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    fs::create_directories(folder / "empty");
    const auto fails = [&](const Strings& args, int code, const char* words) {
      const RunResult r = inspect(folder, args);
      CHECK(r.exit_code == code);
      CHECK(r.out.empty());
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
    };
    fails({"m", "--why", "h.0.w"}, 2, "--why: m is shown as a checkpoint");
    fails({"m", "--summary", "--format", "csv"}, 2, "the summary is no table");
    fails({"broken.safetensors"}, 6, "Git LFS pointer");
    fails({"empty"}, 3, "the folder has no config.json");
    fails({"empty", "--checkpoint"}, 3, "no checkpoint in this folder");
    fails({"none.safetensors"}, 3, "none.safetensors");
    fails({"m", "--under", "model.x", "--subfolder", "none"}, 3, "none");
  }

  TEST_CASE("equals the digests of the folders that the reference packages wrote, tied names said") {
    for (const CheckpointGoldens& goldens : checkpoint_goldens()) {
      int equal = 0, total = 0, tied = 0;
      for (const Json& row : Json::parse(read_maybe_xz(goldens.folders / "folders" / "index.json"))) {
        const std::string id = row["id"];
        const fs::path folder = goldens.folders / "folders" / id;
        Strings args{"inspect", folder.string(), "--tensors", "--digest", "--format", "jsonl"};
        if (row.contains("under")) args.insert(args.end(), {"--under", row["under"].get<std::string>()});
        const auto rows = rows_of(run_binary(args));
        CAPTURE(id);
        const Json expected = Json::parse(read_maybe_xz(folder / "expected.json"));
        CHECK(rows.size() == expected["tensors"].size());
        for (const Json& want : expected["tensors"]) {
          ++total;
          const auto it = rows.find(want["name"].get<std::string>());
          REQUIRE(it != rows.end());
          const bool same = it->second["dtype"] == want["dtype"] && it->second["shape"] == want["shape"] && it->second["sha256"] == want["sha256"];
          CHECK(same);
          equal += same ? 1 : 0;
          tied += it->second.contains("tied_to") ? 1 : 0;
        }
      }
      CHECK(tied > 0);
      MESSAGE(equal << " of " << total << " tensors equal, " << tied << " of them tied");
    }
  }

  TEST_CASE("takes repositories of the Hub: headers by byte ranges, all of it for digests, then the cache") {
    const TempFolder folder;
    LoopbackHub hub;
    const std::map<std::string, std::string> environment{{"HF_HOME", (folder / "hf").string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}};
    const auto run = [&](const Strings& args) { return run_binary(args, {.environment = environment, .folder = folder.path().string()}); };
    const fs::path file = folder / "hf/hub/models--good--sharded/snapshots" / std::string(40, 'c') / "a.safetensors";
    const RunResult headers = run({"inspect", "good/sharded@main", "--checkpoint", "--json"});
    CAPTURE(headers.err);
    CHECK(faults_of("inspect-checkpoint", headers.out) == "");
    CHECK(Json::parse(headers.out)["source"] == "hub");
    CHECK_FALSE(fs::exists(file));
    CHECK(run({"inspect", "good/sharded", "--digest", "--format", "jsonl", "--offline"}).exit_code == 5);
    const auto rows = rows_of(run({"inspect", "good/sharded", "--digest", "--format", "jsonl"}));
    CHECK(rows.size() == 3);
    CHECK(fs::exists(file));
    const std::size_t before = hub.requests().size();
    CHECK(Json::parse(run({"inspect", "good/sharded", "--checkpoint", "--json"}).out)["source"] == "cache");
    const RunResult verified = run({"verify", "good/sharded", "--offline", "--against", "good/sharded@main", "--json"});
    CAPTURE(verified.err);
    CHECK(Json::parse(verified.out)["input"] == "good/sharded");
    CHECK(Json::parse(verified.out)["tensors"] == 3);
    CHECK(hub.requests().size() == before);
  }
}

}  // namespace bigmodel::test
