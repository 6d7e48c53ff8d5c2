// SPDX-License-Identifier: Apache-2.0
// `bigmodel shard` from outside.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bigmodel/io/read_file.h"
#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Names = std::vector<std::string>;

/// Six tensors of 4 bytes, and a config.
void write_model(const TempFolder& folder, const std::string& name) {
  std::string header;
  for (int i = 0; i < 6; ++i) {
    header += (i == 0 ? "{" : ",") + ("\"layers." + std::to_string(i) + R"(.w":{"dtype":"F32","shape":[1],"data_offsets":[)" + std::to_string(4 * i)) + "," + std::to_string(4 * i + 4) + "]}";
  }
  folder.write(name + "/model.safetensors", safetensors_file(header + "}", "aaaabbbbccccddddeeeeffff"));
  folder.write(name + "/config.json", R"({"model_type": "x"})");
}

Names files_of(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

RunResult shard(const TempFolder& folder, Names args, RunOptions options = {}) {
  args.insert(args.begin(), "shard");
  options.folder = folder.path().string();
  return run_binary(args, options);
}

}  // namespace

TEST_SUITE("cli/shard") {
  TEST_CASE("cuts, and says in JSON what it wrote") {
    const TempFolder folder;
    write_model(folder, "m");
    const RunResult r = shard(folder, {"m", "--max-shard-size", "8", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(r.err.empty());
    CHECK(faults_of("shard", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(json["input"] == "m");
    CHECK(json["output"] == "m-sharded");
    CHECK(json["total_size"] == 24);
    CHECK(json["files"].size() == 3);
    CHECK(json["files"][0]["size_bytes"] == fs::file_size(folder / "m-sharded/model-00001-of-00003.safetensors"));
    CHECK(json["index"] == "model.safetensors.index.json");
    CHECK(files_of(folder / "m-sharded") == Names{"config.json", "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors",
                                                  "model.safetensors.index.json"});
    CHECK(files_of(folder.path()) == Names{"m", "m-sharded"});
    const Json index = Json::parse(read_file(folder / "m-sharded/model.safetensors.index.json", 10000));
    CHECK(index["metadata"]["total_size"] == 24);
    CHECK(index["weight_map"]["layers.5.w"] == "model-00003-of-00003.safetensors");
  }

  TEST_CASE("a dry run prints the plan and writes nothing") {
    const TempFolder folder;
    write_model(folder, "m");
    const RunResult r = shard(folder, {"m", "--max-shard-size", "8", "--dry-run", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(faults_of("shard", r.out) == "");
    CHECK_FALSE(Json::parse(r.out)["files"][0].contains("sha256"));
    const RunResult text = shard(folder, {"m", "-s", "8", "-n"});
    CHECK(text.out.starts_with("would write m-sharded: 6 tensors, 24 B in 3 files\n"));
    CHECK(files_of(folder.path()) == Names{"m"});
  }

  TEST_CASE("without CHECKPOINT takes the current folder and writes ./sharded") {
    const TempFolder folder;
    write_model(folder, "m");
    const RunResult r = run_binary({"shard", "--max-shard-size", "12"}, {.folder = (folder / "m").string()});
    CHECK(r.exit_code == 0);
    CHECK(r.out.starts_with("./sharded: 6 tensors"));
    CHECK(files_of(folder / "m/sharded").size() == 4);
    CHECK(run_binary({"shard", "--max-shard-size", "12"}, {.folder = (folder / "m").string()}).exit_code == 2);
    CHECK(run_binary({"shard", "--max-shard-size", "12", "--force"}, {.folder = (folder / "m").string()}).exit_code == 0);
  }

  TEST_CASE("merges, converts, changes the container, names a variant, replaces in place") {
    const TempFolder folder;
    write_model(folder, "m");
    CHECK(shard(folder, {"m", "-s", "8", "--in-place"}).exit_code == 0);
    CHECK(files_of(folder / "m").size() == 5);
    CHECK(shard(folder, {"m", "--merge", "--format", "bin", "--dtype", "bfloat16", "--output", "b"}).exit_code == 0);
    CHECK(files_of(folder / "b") == Names{"config.json", "pytorch_model.bin"});
    CHECK(shard(folder, {"b", "--format", "safetensors", "--variant", "fp16", "-o", "v"}).exit_code == 3);
    CHECK(shard(folder, {"b/pytorch_model.bin", "--format", "safetensors", "-o", "s"}).exit_code == 0);
    CHECK(files_of(folder / "s") == Names{"model.safetensors"});
    CHECK(run_binary({"shard", "model.safetensors", "-o", "cut"}, {.folder = (folder / "s").string()}).exit_code == 0);
    CHECK(run_binary({"shard", "model.safetensors"}, {.folder = (folder / "s").string()}).exit_code == 0);
    CHECK(files_of(folder / "s") == Names{"cut", "model-sharded", "model.safetensors"});
    const RunResult r = shard(folder, {"m", "--merge", "--in-place", "--json"});
    CHECK(Json::parse(r.out)["removed"].size() == 4);
    CHECK(files_of(folder / "m") == Names{"config.json", "model.safetensors"});
    CHECK(shard(folder, {"m", "-s", "8", "--policy", "balanced", "--compat", "hf", "--quiet"}).out == "m-sharded\n");
  }

  TEST_CASE("what cannot be done ends with its own exit code and leaves nothing behind") {
    const TempFolder folder;
    write_model(folder, "m");
    folder.write("old/x.txt", "x");
    folder.write("tf/tf_model.h5", "x");
    folder.write("broken/model.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    const auto fails = [&](const Names& args, int code, const char* words) {
      const RunResult r = shard(folder, args);
      CHECK(r.exit_code == code);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
    };
    fails({"m", "-s", "-1GB"}, 2, "is not a size");
    fails({"m", "-s", "1XB"}, 2, "unknown unit");
    fails({"m", "--in-place", "-o", "x"}, 2, "--in-place: contradicts --output");
    fails({"m", "--merge", "-s", "8"}, 2, "--merge: contradicts --max-shard-size");
    fails({"m", "--force", "--resume"}, 2, "contradicts");
    fails({"m", "-o", "m"}, 2, "use --in-place");
    fails({"m", "-o", "m/deep"}, 2, "lies inside");
    fails({"m", "-o", "old"}, 2, "use --force");
    fails({"m", "-o", "none/deep"}, 3, "no such folder");
    fails({"m", "--dtype", "int8"}, 2, "no floating-point type");
    fails({"none"}, 3, "none");
    fails({"tf"}, 6, "holds TensorFlow weights");
    fails({"broken"}, 6, "Git LFS pointer");
    CHECK(files_of(folder.path()) == Names{"broken", "m", "old", "tf"});
    CHECK(files_of(folder / "m").size() == 2);
  }

  TEST_CASE("a disk that is full stops it, with its exit code, and the source stays") {
    const TempFolder folder;
    write_model(folder, "m");
    const std::string before = read_file(folder / "m/model.safetensors", 10000);
    // The shell's limit on file size stands in for the disk.
    const RunResult r = run_binary({"-c", "ulimit -f 1; exec \"$0\" shard m -s 8 -o out", bigmodel_binary()}, {.binary = "/bin/sh", .folder = folder.path().string()});
    CHECK(r.exit_code == 9);
    CHECK(r.err.find("File too large") != std::string::npos);
    CHECK(read_file(folder / "m/model.safetensors", 10000) == before);
    CHECK(files_of(folder.path()) == Names{"m"});
  }

  TEST_CASE("results that cannot be printed are an error, and what was written stays whole") {
    const TempFolder folder;
    write_model(folder, "m");
    const Names commands[] = {{"shard", "m", "-s", "8", "-o", "out"}, {"verify", "m"}, {"inspect", "m/model.safetensors"}};
    for (const Names& command : commands) {
      CAPTURE(command.front());
      const RunResult r = run_binary(command, {.stdout_path = "/dev/full", .folder = folder.path().string()});
      CHECK(r.exit_code == 9);
      CHECK(r.err.find("standard output: cannot write: No space left on device") != std::string::npos);
    }
    CHECK(run_binary({"verify", (folder / "out").string(), "--against", (folder / "m").string()}).exit_code == 0);
  }

  TEST_CASE("a mistyped name is said to be one") {
    const TempFolder folder;
    write_model(folder, "m");
    const auto fails = [&](const Names& args, int code, const char* words) {
      const RunResult r = run_binary(args, {.folder = folder.path().string()});
      CHECK(r.exit_code == code);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
    };
    fails({"shard", "m", "--max-shard-siz", "8"}, 2, "did you mean --max-shard-size?");
    fails({"shrd", "m"}, 2, "did you mean 'shard'?");
    fails({"verify", "m/model.safetensor"}, 3, "m/model.safetensor: no such file or folder");
    fails({"verify", "m", "--against", "n"}, 3, "n: no such file or folder");
    fails({"inspect", "./n.safetensors"}, 3, "n.safetensors: no such file or folder");
  }

  TEST_CASE("plans from a list of tensors") {
    const TempFolder folder;
    folder.write("t.json", R"([{"name": "a", "dtype": "float32", "shape": [4]}, {"name": "b", "dtype": "F16", "shape": [4], "storage": "s"},
                               {"name": "c", "dtype": "float16", "shape": [4], "storage": "s"}, {"name": "d", "dtype": "int8", "shape": [9], "storage": "base:30"}])");
    const RunResult r = shard(folder, {"--plan-from", "t.json", "--max-shard-size", "24", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(faults_of("shard-plan", r.out) == "");
    CHECK(Json::parse(r.out) == Json::parse(R"({"filename_to_tensors": {"model-00001-of-00002.safetensors": ["d"], "model-00002-of-00002.safetensors": ["a", "b", "c"]},
      "metadata": {"total_size": 54},
      "weight_map": {"d": "model-00001-of-00002.safetensors", "a": "model-00002-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"}})"));
    CHECK(shard(folder, {"m", "--plan-from", "t.json"}).exit_code == 2);
    CHECK(shard(folder, {"--plan-from", "none.json"}).exit_code == 3);
    for (const char* bad : {"{}", "[1]", R"([{"name": 1}])", R"([{"name": "a", "dtype": "f", "shape": []}])", R"([{"name": "a", "dtype": "I8", "shape": [-1]}])",
                            R"([{"name": "a", "dtype": "I64", "shape": [9223372036854775807, 2]}])", R"([{"name": "a", "dtype": "I8", "shape": []}, {"name": "a", "dtype": "I8", "shape": []}])"}) {
      CAPTURE(bad);
      folder.write("bad.json", bad);
      CHECK(shard(folder, {"--plan-from", "bad.json"}).exit_code == 6);
    }
  }
}

}  // namespace bigmodel::test
