// SPDX-License-Identifier: Apache-2.0
// Checkpoints that nobody here wrote: files of other projects and folders written by the reference packages.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/checkpoint/verify_checkpoint.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/sha256.h"
#include "support/golden_folders.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"
#include "support/unsynced_disk.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Name, dtype, shape and digest of every expected tensor; empty where all are as expected and no other is there.
std::string difference(const fs::path& path, const Json& expected, const OpenOptions& options, bool codes) {
  const Disk disk;
  const Checkpoint checkpoint = open_checkpoint(path, options);
  TensorReader reader(checkpoint, disk);
  std::map<std::string, const CheckpointTensor*> by_name;
  for (const CheckpointTensor& tensor : checkpoint.tensors) by_name[tensor.name] = &tensor;
  if (by_name.size() != expected.size()) return "holds " + std::to_string(by_name.size()) + " tensors, expected " + std::to_string(expected.size());
  for (const Json& want : expected) {
    const std::string name = want["name"];
    const auto it = by_name.find(name);
    if (it == by_name.end()) return "no tensor " + name;
    const CheckpointTensor& tensor = *it->second;
    const std::string dtype(codes ? safetensors_code(tensor.dtype) : bigmodel::name(tensor.dtype));
    if (dtype != want["dtype"].get<std::string>()) return name + ": dtype " + dtype + ", expected " + want["dtype"].get<std::string>();
    if (Json(tensor.shape) != want["shape"]) return name + ": shape " + to_string(tensor.shape);
    if (want.contains("stride") && want["contiguous"] == false && Json(tensor.strides) != want["stride"]) return name + ": strides";
    if (sha256_hex(reader.read_all(tensor)) != want["sha256"].get<std::string>()) return name + ": other bytes";
  }
  return {};
}

std::string guarded_difference(const fs::path& path, const Json& expected, const OpenOptions& options, bool codes) {
  try {
    return difference(path, expected, options, codes);
  } catch (const Error& error) {
    return error.message();
  }
}

bool is_weight_file(const Json& file) {
  const std::string path = file["path"];
  return path.starts_with("checkpoints/") && file["facts"].value("format", "") != "json" && !path.ends_with(".txt");
}

/// torch refuses protocols 1, 4 and 5 under weights_only although they hold plain tensors: those are read here.
bool is_readable(const Json& file) {
  const Json& facts = file["facts"];
  return file.contains("expected") && facts.value("format", "") != "torchscript zip" && facts.value("accepted_by_safetensors_0.8.0", true);
}

}  // namespace

TEST_SUITE("checkpoint/real_files") {
  TEST_CASE("reads the files of other projects, or refuses them, as their manifest says") {
    const auto data = test::shared_path("data");
    if (!data) return;
    int as_said = 0, refused = 0, total = 0;
    const Json manifest = Json::parse(test::read_maybe_xz(*data / "MANIFEST.json"));
    for (const Json& file : manifest["files"]) {
      const std::string path = file["path"];
      const Json& facts = file["facts"];
      if (!is_weight_file(file)) continue;
      ++total;
      CAPTURE(path);
      if (is_readable(file)) {
        const Json expected = Json::parse(test::read_maybe_xz(*data / file["expected"].get<std::string>()))["tensors"];
        const std::string why = guarded_difference(*data / path, expected, {}, true);
        CHECK_MESSAGE(why.empty(), why);
        as_said += why.empty() ? 1 : 0;
        continue;
      }
      try {
        const Checkpoint checkpoint = open_checkpoint(*data / path);
        // A file of plain values and no tensor (a scheduler's state).
        CHECK(checkpoint.tensors.empty());
        CHECK(facts.value("torch_weights_only", "") == "ok");
        ++as_said;
      } catch (const Error& error) {
        const bool right = error.kind() == ErrorKind::format || error.kind() == ErrorKind::unsupported;
        CHECK_MESSAGE(right, error.message());
        ++as_said;
        ++refused;
      }
    }
    CHECK(as_said == total);
    MESSAGE(as_said << " of " << total << " files as the manifest says, " << refused << " of them refused");
  }

  TEST_CASE("cuts and converts the files of other projects, and finds them whole and equal") {
    const auto data = test::shared_path("data");
    if (!data) return;
    const Disk disk;
    const test::UnsyncedDisk unsynced;
    test::Sampling sampling(5);
    int files = 0, conversions = 0;
    const Json manifest = Json::parse(test::read_maybe_xz(*data / "MANIFEST.json"));
    for (const Json& file : manifest["files"]) {
      const std::string path = file["path"];
      if (!is_weight_file(file) || !is_readable(file) || !sampling.take()) continue;
      CAPTURE(path);
      const Checkpoint source = open_checkpoint(*data / path);
      if (source.tensors.empty()) continue;
      ++files;
      for (const OutputFormat format : {OutputFormat::safetensors, OutputFormat::bin}) {
        const test::TempFolder folder;
        ShardJob job;
        try {
          job = plan_shard_job(source, {.max_shard_size_bytes = source.tensor_bytes() / 3 + 1, .format = format});
        } catch (const UnsupportedError& error) {
          // A dtype that the other format lacks: said by name, and nothing is written.
          CHECK_MESSAGE(error.message().find("tensor") != std::string::npos, error.message());
          continue;
        }
        write_shards(source, job, {.output = folder / "out", .read_back = true, .disk = &unsynced}, {});
        const VerifyReport report = verify_checkpoint(folder / "out", {.deep = true}, {});
        CHECK_MESSAGE(healthy(report.findings), (report.findings.empty() ? "" : report.findings.front().message));
        const std::vector<Finding> differences = compare_checkpoints(source, report.checkpoint, disk, {});
        CHECK_MESSAGE(differences.empty(), (differences.empty() ? "" : differences.front().message));
        ++conversions;
      }
    }
    CHECK(conversions > 0);
    MESSAGE(files << " files written " << conversions << " times, each time equal to what they were");
  }

  TEST_CASE("reads the folders that the reference packages wrote") {
    for (const test::CheckpointGoldens& goldens : test::checkpoint_goldens()) {
      int equal = 0, total = 0;
      for (const Json& row : Json::parse(test::read_maybe_xz(goldens.folders / "folders" / "index.json"))) {
        ++total;
        const fs::path folder = goldens.folders / "folders" / row["id"].get<std::string>();
        CAPTURE(row["id"].get<std::string>());
        const Json expected = Json::parse(test::read_maybe_xz(folder / "expected.json"));
        const std::string why = guarded_difference(folder, expected["tensors"], {.under = row.value("under", "")}, false);
        CHECK_MESSAGE(why.empty(), why);
        equal += why.empty() ? 1 : 0;
      }
      MESSAGE(equal << " of " << total << " folders equal");
    }
  }

  TEST_CASE("reads the offload folders that accelerate wrote") {
    const auto folders = test::golden_folders("offload");
    const auto rows = test::shared_path("goldens/offload/state_dicts.jsonl.xz");
    if (!folders || !rows) return;
    int equal = 0, total = 0;
    test::for_each_record(*rows, [&](const Json& row) {
      if (row["index_text"].is_null() || row.contains("error") || !row.contains("tensors")) return;
      ++total;
      const std::string id = row["id"];
      CAPTURE(id);
      // What was given, not what the reference read back: it cannot read a uint64 scalar.
      const Json& expected = row["tensors"];
      const std::string why = guarded_difference(*folders / "state_dicts" / id, expected, {}, false);
      CHECK_MESSAGE(why.empty(), why);
      equal += why.empty() ? 1 : 0;
    });
    MESSAGE(equal << " of " << total << " folders equal");
  }
}

}  // namespace bigmodel
