// SPDX-License-Identifier: Apache-2.0
// Whole reshards against what huggingface_hub writes, and our own round trips.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/safetensors_header.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/sha256.h"
#include "checkpoint/safetensors_file.h"
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

std::string file_text(const fs::path& path) { return test::read_maybe_xz(path); }
std::string digest(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

/// The files of `want` ({name: {bytes, sha256?, data_sha256, metadata}}) and the index text.
std::string difference(const fs::path& output, const Json& want) {
  std::size_t files = 0;
  for (const auto& [name, facts] : want["files"].items()) {
    ++files;
    std::error_code error;
    if (!fs::exists(output / name, error)) return "no file " + name;
    const std::string text = file_text(output / name);
    if (facts.contains("sha256") && digest(text) != facts["sha256"].get<std::string>()) return name + ": other bytes";
    const SafetensorsHeader header = read_safetensors_header(Disk(), open_file(output / name, 0).get(), text.size(), output / name);
    if (digest(std::string_view(text).substr(header.header_bytes)) != facts["data_sha256"].get<std::string>()) return name + ": other data";
    if (text.size() != facts["bytes"].get<std::size_t>()) return name + ": other size";
    Json metadata = Json::object();
    for (const auto& [key, value] : header.metadata) metadata[key] = value;
    for (const auto& [key, value] : facts["metadata"].items()) {
      if (metadata.value(key, "\x01") != value.get<std::string>()) return name + ": metadata " + key;
    }
    if (metadata.size() != facts["metadata"].size()) return name + ": more metadata";
  }
  if (want.contains("index_text")) {
    ++files;
    if (file_text(output / want["index_name"].get<std::string>()) != want["index_text"].get<std::string>()) return "other index";
  }
  const auto count = static_cast<std::size_t>(std::distance(fs::directory_iterator(output), fs::directory_iterator{}));
  return count == files ? "" : "other files: " + std::to_string(count);
}

std::uint64_t limit_of(const Json& value) { return value.is_string() ? parse_max_shard_size(value.get<std::string>()) : value.get<std::uint64_t>(); }

ShardReport reshard(const fs::path& input, const fs::path& output, const ShardOptions& options, const OpenOptions& open = {}, WriteOptions write = {}) {
  const test::UnsyncedDisk disk;
  const Checkpoint checkpoint = open_checkpoint(input, open);
  write.output = output;
  write.disk = &disk;
  return write_shards(checkpoint, plan_shard_job(checkpoint, options), write, {});
}

/// Name, dtype, shape and bytes of every tensor, as one text.
std::string content(const fs::path& path) {
  const Disk disk;
  const Checkpoint checkpoint = open_checkpoint(path);
  TensorReader reader(checkpoint, disk);
  std::map<std::string, std::string> lines;
  for (const CheckpointTensor& t : checkpoint.tensors) {
    lines[t.name] = std::string(name(t.dtype)) + to_string(t.shape) + sha256_hex(reader.read_all(t));
  }
  std::string out;
  for (const auto& [key, value] : lines) out += key + " " + value + "\n";
  return out;
}

}  // namespace

TEST_SUITE("checkpoint/reshard") {
  TEST_CASE("writes the reference's files byte for byte in compat mode") {
    for (const test::CheckpointGoldens& goldens : test::checkpoint_goldens()) {
      std::map<std::string, std::string> under;
      for (const Json& row : Json::parse(file_text(goldens.folders / "folders" / "index.json"))) under[row["id"]] = row.value("under", "");
      int equal = 0, total = 0;
      test::Sampling sampling(8);
      test::for_each_record(goldens.rows / "reshard.jsonl.xz", [&](const Json& row) {
        if (!sampling.take()) return;
        ++total;
        CAPTURE(row["id"].get<std::string>());
        const test::TempFolder out;
        std::string why;
        try {
          const std::string id = row["input"];
          const ShardOptions options{.max_shard_size_bytes = limit_of(row["max_shard_size"]), .format = OutputFormat::safetensors, .compat_hf = true, .side_files = false};
          const ShardReport report = reshard(goldens.folders / "folders" / id, out / "x", options, {.under = under[id]});
          why = report.files.empty() ? (row.value("files", Json::object()).empty() ? "" : "no files") : difference(out / "x", row.contains("copied_out") ? row["copied_out"] : row);
        } catch (const Error& error) {
          why = error.message();
        }
        CHECK_MESSAGE(why.empty(), why);
        equal += why.empty() ? 1 : 0;
      });
      CHECK(equal == total);
      MESSAGE(equal << " of " << total << " chains equal");
    }
  }

  TEST_CASE("keeps every tensor through safetensors, bin and back, for every golden folder") {
    for (const test::CheckpointGoldens& goldens : test::checkpoint_goldens()) {
      int equal = 0, total = 0;
      test::Sampling sampling(4);
      for (const Json& row : Json::parse(file_text(goldens.folders / "folders" / "index.json"))) {
        if (row.contains("under") || !sampling.take()) continue;
        const std::string id = row["id"];
        CAPTURE(id);
        ++total;
        const fs::path source = goldens.folders / "folders" / id;
        const test::TempFolder out;
        const std::string before = content(source);
        if (before.empty()) {
          ++equal;
          continue;
        }
        reshard(source, out / "bin", {.max_shard_size_bytes = 700, .format = OutputFormat::bin});
        const bool bin_equal = content(out / "bin") == before;
        CHECK(bin_equal);
        reshard(out / "bin", out / "one", {.format = OutputFormat::bin, .merge = true});
        CHECK(content(out / "one") == before);
        const ShardReport report = reshard(out / "one", out / "safe", {.max_shard_size_bytes = 900, .format = OutputFormat::safetensors});
        // Tied names are dropped; the rest is as it was.
        const std::string after = content(out / "safe");
        const Checkpoint one = open_checkpoint(out / "one");
        const Checkpoint safe = open_checkpoint(out / "safe");
        CHECK(safe.tensors.size() + plan_shard_job(one, {.format = OutputFormat::safetensors}).dropped.size() == one.tensors.size());
        bool contained = true;
        for (std::size_t at = 0; at < after.size();) {
          const std::size_t end = after.find('\n', at);
          contained &= before.find(after.substr(at, end - at)) != std::string::npos;
          at = end + 1;
        }
        CHECK(contained);
        equal += bin_equal && contained ? 1 : 0;
      }
      MESSAGE(equal << " of " << total << " folders keep their tensors");
    }
  }

  TEST_CASE("merges, names the variant, and carries side files along") {
    const test::TempFolder folder;
    const auto tensor = [](std::string_view name, std::string_view data) {
      return test::safetensors_file("{\"" + std::string(name) + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data);
    };
    folder.write("m/model-00001-of-00002.safetensors", tensor("a", "aaaaaaaa"));
    folder.write("m/model-00002-of-00002.safetensors", tensor("b", "bbbbbbbb"));
    folder.write("m/model.safetensors.index.json",
                 R"({"metadata":{"total_size":16,"total_parameters":4},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
    folder.write("m/config.json", "{}");
    folder.write("m/code.py", "x");
    const ShardReport one = reshard(folder / "m", folder / "one", {.merge = true, .variant = "fp16"});
    CHECK(one.files.size() == 1);
    CHECK(one.files[0].name == "model.fp16.safetensors");
    CHECK(one.index.empty());
    CHECK(one.side_files == std::vector<std::string>{"config.json"});
    CHECK(one.warnings.size() == 1);
    CHECK(one.files[0].sha256 == digest(file_text(folder / "one" / "model.fp16.safetensors")));
    const ShardReport two = reshard(folder / "m", folder / "two", {.max_shard_size_bytes = 8, .variant = "fp16"});
    CHECK(two.index == "model.safetensors.index.fp16.json");
    CHECK(file_text(folder / "two" / two.index).find("\"total_parameters\": 4") != std::string::npos);
    CHECK(content(folder / "m") == content(folder / "two" / two.index));
  }

  TEST_CASE("replaces a checkpoint in place, with new and with equal shard names") {
    const test::TempFolder folder;
    folder.write("m/model.safetensors", test::safetensors_file(R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[6],"data_offsets":[6,12]},"c":{"dtype":"U8","shape":[4],"data_offsets":[12,16]}})", "aaaaaabbbbbbcccc"));
    const std::string before = content(folder / "m");
    const auto in_place = [&](const ShardOptions& options) { return reshard(folder / "m", {}, options, {}, {.in_place = true}); };
    CHECK(in_place({.max_shard_size_bytes = 6}).removed == std::vector<std::string>{"model.safetensors"});
    CHECK(content(folder / "m") == before);
    CHECK(fs::exists(folder / "m/model-00003-of-00003.safetensors"));
    CHECK(in_place({.max_shard_size_bytes = 6}).removed.empty());
    CHECK(content(folder / "m") == before);
    CHECK(in_place({.max_shard_size_bytes = 12}).removed.size() == 3);
    CHECK(content(folder / "m") == before);
    CHECK(in_place({.merge = true}).removed.size() == 3);
    CHECK(content(folder / "m") == before);
    CHECK(std::distance(fs::directory_iterator(folder / "m"), fs::directory_iterator{}) == 1);
  }

  TEST_CASE("a variant is replaced without a touch to the other weights, and what was written is found again") {
    const std::string header = R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[6],"data_offsets":[6,12]}})";
    for (const OutputFormat format : {OutputFormat::safetensors, OutputFormat::bin}) {
      const test::TempFolder folder;
      folder.write("m/model.safetensors", test::safetensors_file(header, "AAAAAABBBBBB"));
      folder.write("m/model.fp16.safetensors", test::safetensors_file(header, "aaaaaabbbbbb"));
      const std::string full = file_text(folder / "m/model.safetensors");
      reshard(folder / "m", folder / "one", {.format = format, .side_files = false}, {.variant = "fp16"});
      const std::string half = content(folder / "one");
      for (const bool compat : {false, true}) {
        for (const std::uint64_t limit : {std::uint64_t{6}, std::uint64_t{100}}) {
          CAPTURE(limit);
          const ShardReport report = reshard(folder / "m", {}, {.max_shard_size_bytes = limit, .format = format, .compat_hf = compat, .variant = "fp16"}, {.variant = "fp16"}, {.in_place = true});
          CHECK(report.files.size() == (limit == 6 ? 2 : 1));
          CHECK(file_text(folder / "m/model.safetensors") == full);
          CHECK(std::distance(fs::directory_iterator(folder / "m"), fs::directory_iterator{}) == (limit == 6 ? 4 : 2));
          reshard(folder / "m", folder / "again", {.format = format, .side_files = false}, {.variant = "fp16"});
          CHECK(content(folder / "again") == half);
          fs::remove_all(folder / "again");
        }
      }
    }
  }

  TEST_CASE("converts with the reference's rounding and leaves integers alone") {
    const test::TempFolder folder;
    const float values[2] = {1.00390625F, -2.0F};
    std::string data(reinterpret_cast<const char*>(values), 8);
    folder.write("m/model.safetensors", test::safetensors_file(R"({"f":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"i":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}})", data + "abcd"));
    for (const OutputFormat format : {OutputFormat::safetensors, OutputFormat::bin}) {
      const fs::path out = folder / (format == OutputFormat::bin ? "b" : "s");
      reshard(folder / "m", out, {.format = format, .dtype = DType::bfloat16});
      const Disk disk;
      const Checkpoint checkpoint = open_checkpoint(out);
      TensorReader reader(checkpoint, disk);
      const std::vector<std::byte> f = reader.read_all(*checkpoint.find("f"));
      CHECK(checkpoint.find("f")->dtype == DType::bfloat16);
      CHECK(f == std::vector<std::byte>{std::byte{0x80}, std::byte{0x3f}, std::byte{0x00}, std::byte{0xc0}});
      CHECK(checkpoint.find("i")->dtype == DType::int32);
    }
    CHECK_THROWS_AS(plan_shard_job(open_checkpoint(folder / "m"), {.dtype = DType::int8}), UsageError);
    CHECK_THROWS_AS(plan_shard_job(open_checkpoint(folder / "m"), {.dtype = DType::float4}), UnsupportedError);
  }

  TEST_CASE("refuses outputs that would harm something") {
    const test::TempFolder folder;
    folder.write("m/model.safetensors", test::safetensors_file("{}", ""));
    folder.write("full/x", "x");
    fs::create_directory_symlink(folder / "full", folder / "link");
    const auto to = [&](const fs::path& output, bool force = false) { return reshard(folder / "m", output, {}, {}, {.force = force}); };
    CHECK_THROWS_AS(to(folder / "m"), UsageError);
    CHECK_THROWS_AS(to(folder / "m", true), UsageError);
    CHECK_THROWS_AS(to(folder / "full"), UsageError);
    CHECK_THROWS_AS(to(folder / "link", true), UsageError);
    CHECK_THROWS_AS(to(folder / "full/x"), UsageError);
    CHECK_THROWS_AS(to(folder / "none/deep"), NotFoundError);
    CHECK_THROWS_AS(to(""), UsageError);
  }
}

}  // namespace bigmodel
