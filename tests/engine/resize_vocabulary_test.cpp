// SPDX-License-Identifier: Apache-2.0
// Another vocabulary for a checkpoint: rows kept, cut, added; the rest untouched.
#include "bigmodel/engine/resize_vocabulary.h"

#include <doctest/doctest.h>

#include <cstring>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/from_pretrained.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

fs::path demo() { return source_root() / "apps/bigmodel/demo_model"; }

std::vector<std::byte> bytes(const Checkpoint& checkpoint, const std::string& name) {
  const Disk disk;
  return TensorReader(checkpoint, disk).read_all(*checkpoint.find(name));
}

/// Resized and written to `output`.
ResizedCheckpoint resize(const fs::path& output, const ResizeVocabulary& wanted) {
  spec::SpecLibrary library(embedded::architectures_files());
  const Disk disk;
  ResizedCheckpoint out = resize_vocabulary(library, read_config(demo() / "config.json"), open_checkpoint(demo()), wanted, output, disk, {});
  ShardJob job = plan_shard_job(out.checkpoint, {.format = OutputFormat::safetensors});
  std::erase_if(job.side_files, [](const fs::path& p) { return p.filename() == "config.json"; });
  job.side_texts.emplace_back("config.json", out.config_text);
  write_shards(out.checkpoint, job, {.output = output}, {});
  return out;
}

}  // namespace

TEST_SUITE("engine/resize_vocabulary") {
  TEST_CASE("tokens are added with the mean of the others, rounded up, and the model still runs") {
    const TempFolder temp;
    const Checkpoint before = open_checkpoint(demo());
    const std::int64_t rows = before.find("model.embed_tokens.weight")->shape[0];
    const ResizedCheckpoint resized = resize(temp / "larger", {.size = rows + 1, .pad_to_multiple_of = 64});
    CHECK(resized.size % 64 == 0);
    CHECK(resized.size > rows);
    REQUIRE(!resized.tensors.empty());
    const Checkpoint after = open_checkpoint(temp / "larger");
    CHECK(after.tensors.size() == before.tensors.size());
    for (const CheckpointTensor& t : before.tensors) {
      const std::vector<std::byte> old = bytes(before, t.name), now = bytes(after, t.name);
      REQUIRE(now.size() >= old.size());
      CHECK(std::memcmp(now.data(), old.data(), old.size()) == 0);
      CHECK((now.size() > old.size()) == (t.name == resized.tensors.front().name || t.name == resized.tensors.back().name));
    }
    spec::SpecLibrary library(embedded::architectures_files());
    CHECK(from_pretrained(library, temp / "larger")->graph().class_name == "LlamaForCausalLM");
  }

  TEST_CASE("tokens are cut, added as zeros, and impossible sizes refused") {
    const TempFolder temp;
    const ResizedCheckpoint smaller = resize(temp / "smaller", {.size = 10});
    CHECK(smaller.tensors.front().to.front() == 10);
    CHECK(open_checkpoint(temp / "smaller").find(smaller.tensors.front().name)->shape.front() == 10);
    const std::int64_t rows = smaller.tensors.front().from.front();
    resize(temp / "zeros", {.size = rows + 2, .mean_resizing = false});
    const std::vector<std::byte> now = bytes(open_checkpoint(temp / "zeros"), smaller.tensors.front().name);
    CHECK(std::all_of(now.end() - 64, now.end(), [](std::byte b) { return b == std::byte{0}; }));
    CHECK_THROWS_AS(resize(temp / "none", {.size = 0}), UsageError);
    CHECK(!fs::exists(temp / "none"));
  }
}

}  // namespace bigmodel::test
